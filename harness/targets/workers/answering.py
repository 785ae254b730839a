"""What the workers of voxgate's own Python have in common: one request in, one result out, a fault of theirs in words.

    python -I NAME_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/result.json says what became of it.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import VoxgateError

Work = Callable[[dict[str, Any], Path], dict[str, Any]]


def answer(work: Work, folder: Path) -> None:
    """Do the request in ``folder``, and leave the result, or why there is none, beside it."""
    try:
        result = work(json.loads((folder / "request.json").read_text(encoding="utf-8")), folder)
    except VoxgateError as error:
        result = {"ok": False, "error": str(error)}
    except Exception as error:  # each library has its own ways to say no
        traceback.print_exc()
        result = {"ok": False, "error": said(error)}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def said(error: Exception) -> str:
    """The type and the first line of an error that is none of ours."""
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return f"{type(error).__name__}: {first}"
