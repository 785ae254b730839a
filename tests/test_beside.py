"""The toolchain's own number beside ours: differences, what lacks, and how it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness import beside
from harness.audio.frontend import FrontEnd
from harness.beside import END_TO_END, INFERENCE, OWN, Time, as_json, differences, from_json
from harness.errors import InfraError, NotMeasured
from harness.measure import Latency
from harness.report import beside as shown
from harness.targets.told import OwnTime

THREE = (
    Time(OWN, 0.4, 100, "board", "trtexec, GPU compute time"),
    Time(INFERENCE, 0.5, 700, "board", "median, a board"),
    Time(END_TO_END, 1.5, 700, "board", "median, a board"),
)
NO_OWN = (Time(OWN, None, 0, "", "none: it has no benchmark"), *THREE[1:])


def test_what_each_time_adds_to_those_before_it() -> None:
    assert differences(THREE) == [
        [],
        ["+0.1 ms (+25.0 %)"],
        ["+1.1 ms (+275.0 %)", "+1 ms (+200.0 %)"],
    ]
    assert differences(NO_OWN) == [[], [""], ["", "+1 ms (+200.0 %)"]]
    faster = (THREE[1], THREE[0])
    assert differences(faster) == [[], ["-0.1 ms (-20.0 %)"]]


def test_lines_for_a_terminal_of_80_columns() -> None:
    long = (THREE[0], THREE[1], Time(END_TO_END, 931.5, 1_000_000, "emulator", "x"))
    for times in (THREE, NO_OWN, long):
        assert max(map(len, shown.text(times).splitlines())) <= 80
    lines = shown.text(THREE).splitlines()
    assert lines[3].split()[-6:] == ["+1.1", "(+275.0", "%)", "+1", "(+200.0", "%)"]
    assert lines[-1] == "toolchain's own by trtexec, GPU compute time"
    assert "toolchain's own: none: it has no benchmark" in shown.text(NO_OWN)


def test_a_table_for_pages_escapes_what_others_say() -> None:
    page = shown.html((Time(OWN, None, 0, "", "<script>"), *THREE[1:]))
    assert "+1 ms (+200.0 %)" in page
    assert "<script>" not in page


def test_what_a_run_left_is_read_and_what_is_torn_is_not(tmp_path: Path) -> None:
    for build, text in (("a", json.dumps(as_json(THREE))), ("b", "[{"), ("c", '[{"what": 1}]')):
        folder = tmp_path / "small" / "host" / build
        folder.mkdir(parents=True)
        (folder / "beside.json").write_text(text)
    assert shown.read(tmp_path) == {("small", "host/a"): THREE}
    assert from_json(json.loads(json.dumps(as_json(NO_OWN)))) == NO_OWN


def fake_run(own: Any) -> Any:
    """A run whose board has a benchmark of its own, or raises; inference takes 2 ms, and no end is to be had."""

    def own_time(artifact: Any, window: Any) -> OwnTime:
        if isinstance(own, Exception):
            raise own
        assert window.shape == (49, 10)
        return OwnTime(own, 9, "a tool")

    def timings(*_: Any) -> Any:
        raise NotMeasured("no audio on this board")

    board = SimpleNamespace(name="a board", evidence=SimpleNamespace(value="board"), own_time=own_time)
    return SimpleNamespace(
        board=lambda *_: board,
        artifact=lambda *_: None,
        inference=lambda *_: Latency(np.array([1.0, 2.0, 9.0]), 0, True),
        timings=timings,
    )


@pytest.mark.parametrize("lack", [NotMeasured("no tool"), InfraError("the board is lost")])
def test_what_lacks_says_why_and_hides_nothing_else(lack: Exception) -> None:
    candidate: Any = SimpleNamespace(frontend=FrontEnd(kind="mfcc"))
    recipe: Any = None
    own, inference, whole = beside.measure(fake_run(1.5), candidate, recipe)
    assert own == Time(OWN, 1.5, 9, "board", "a tool")
    assert (inference.ms, inference.n) == (2.0, 3)
    assert (whole.ms, whole.source) == (None, "none: no audio on this board")
    assert beside.measure(fake_run(lack), candidate, recipe)[0] == Time(OWN, None, 0, "", f"none: {lack}")
