"""The table of docs/quantization.md, from what a sweep wrote.

voxgate sweep models/commands --target host --target rk3588
python -m benchmarks.sweep_table .voxgate/sweep/commands/sweep.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = """| build | worst slice, points | SQNR, dB | file, KiB | times float | evidence | verdict |
|---|---|---|---|---|---|---|"""


def main() -> None:
    for line in table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))):
        print(line)


def table(sweep: dict[str, Any]) -> Iterator[str]:
    """One line a build, those that the sweep recommends in bold."""
    recipes = (choice["recipe"] for choice in sweep["recommended"])
    chosen = {f"{recipe['target']}/{recipe['name']}" for recipe in recipes if recipe}
    yield HEAD
    for point in sweep["points"]:
        name = f"**{point['build']}**" if point["build"] in chosen else point["build"]
        drop, sqnr, slow = (point[figure] for figure in ("drop", "sqnr", "slowdown"))
        size = f"{point['sizes']['file'] / 1024:.1f}" if point["sizes"] else ""
        evidence = drop["evidence"] if drop else ""
        cells = (name, _cell(drop, 2), _cell(sqnr, 1), size, _cell(slow, 2) or "not measured", evidence)
        yield f"| {' | '.join(cells)} | {_verdict(point)} |"


def _cell(row: dict[str, Any] | None, digits: int) -> str:
    if row is None or row["value"] is None:
        return ""
    return f"{row['value']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def _verdict(point: dict[str, Any]) -> str:
    """The verdict in a word, and of a failing build the gates that fail."""
    if point["word"] == "MAY SHIP":
        return "may ship"
    if point["word"].startswith("PASSES"):
        return "passes, board open"
    gates = dict.fromkeys(row["gate"] for row in point["rows"] if row["outcome"] == "FAIL")
    return f"fails: {', '.join(gates)}" if gates else point["word"].lower()


if __name__ == "__main__":
    main()
