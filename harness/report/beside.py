"""The toolchain's own number, inference and end to end, side by side: for terminal and pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from harness.beside import OWN, Time, differences, from_json
from harness.report import markup
from harness.row import printable

RECORD = "beside.json"
HEAD = ("one inference", "ms", "n", "evidence", "over the toolchain's own", "over inference", "by")


def read(folder: Path) -> dict[tuple[str, str], tuple[Time, ...]]:
    """What a run measured, by candidate and build; without what a stopped run left torn."""
    found = {}
    for path in sorted(folder.glob(f"*/*/*/{RECORD}")):
        candidate, target, recipe = path.relative_to(folder).parts[:3]
        with suppress(OSError, ValueError, TypeError):
            found[candidate, f"{target}/{recipe}"] = from_json(json.loads(path.read_text(encoding="utf-8")))
    return found


def text(times: Sequence[Time]) -> str:
    """Lines for a terminal of 80 columns; below them who says the first of the times, or why there is none."""
    lines = [_line("one inference", "ms", "n", "evidence", "over own", "over inference")]
    for each, more in zip(times, differences(times, ""), strict=True):
        lines.append(_line(each.what, _ms(each), str(each.n or ""), each.evidence, *more))
        if each.ms is None:
            lines.append(f"{each.what}: {each.source}")
    lines += [f"{each.what} by {each.source}" for each in times if each.what == OWN and each.ms is not None]
    return "\n".join(map(printable, lines))


def html(times: Sequence[Time]) -> str:
    """A table."""
    lines = [
        (each.what, _ms(each), each.n or "", each.evidence, *_both(more), each.source)
        for each, more in zip(times, differences(times), strict=True)
    ]
    return markup.table(HEAD, lines)


def _line(what: str, ms: str, n: str, evidence: str, *more: str) -> str:
    own, inference = _both(list(more))
    return f"{what:<16}{ms:>8}{n:>7}  {evidence:<9}{own:>19}{inference:>19}".rstrip()


def _both(more: Sequence[str]) -> tuple[str, str]:
    """Both differences, empty where a time stands first or second."""
    own, inference = [*more, "", ""][:2]
    return own, inference


def _ms(time: Time) -> str:
    return "-" if time.ms is None else f"{time.ms:.4g}"
