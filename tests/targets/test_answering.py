"""What a worker leaves behind: its result, or in one line why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Unsupported
from harness.targets.workers.answering import answer


def result(folder: Path, work: Any) -> dict[str, Any]:
    (folder / "request.json").write_text('{"n": 2}')
    answer(work, folder)
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_the_request_comes_in_and_the_result_goes_out(tmp_path: Path) -> None:
    assert result(tmp_path, lambda request, folder: {"ok": True, "n": request["n"], "in": folder.name}) == {
        "ok": True,
        "n": 2,
        "in": tmp_path.name,
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unsupported("needs a board"), "needs a board"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (KeyError(), "KeyError: no reason given"),
    ],
)
def test_an_error_is_told_in_one_line(error: Exception, said: str, tmp_path: Path) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise error

    assert result(tmp_path, work) == {"ok": False, "error": said}
