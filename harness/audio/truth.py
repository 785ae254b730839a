"""What is heard when in a stream: the ground truth, and its manifest on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from harness.audio.tables import Columns, read_table_rows
from harness.errors import CorpusError

MAX_EVENTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Truth:
    """One thing said or sounded. ``start_s`` and ``end_s`` are those of its audible part, from the stream's begin.

    ``real`` tells a recording from synthetic speech; ``condition`` is the ambience it is heard in; ``clip`` where
    it comes from.
    """

    label: str
    start_s: float
    end_s: float
    real: bool
    speaker: str
    accent: str
    condition: str
    clip: str = ""


COLUMNS = tuple(field.name for field in fields(Truth))


def write_truth(path: Path, truth: Iterable[Truth]) -> None:
    """The manifest of a stream: a TSV, one event a line, times in seconds to the microsecond."""
    lines = ["\t".join(COLUMNS)]
    for event in truth:
        times = (f"{event.start_s:.6f}", f"{event.end_s:.6f}")
        real = "yes" if event.real else "no"
        lines.append("\t".join((event.label, *times, real, event.speaker, event.accent, event.condition, event.clip)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_truth(path: Path) -> list[Truth]:
    """The events of a manifest in the order of their begin. Raises CorpusError for a row that cannot be meant."""
    needed = ("label", "start_s", "end_s", "real")
    rows = read_table_rows(path, Columns(COLUMNS, needed), {}, MAX_EVENTS)
    return sorted((_event(where, row) for where, row in rows), key=lambda event: event.start_s)


def _event(where: str, row: dict[str, str]) -> Truth:
    try:
        start, end = float(row["start_s"]), float(row["end_s"])
    except ValueError as error:
        raise CorpusError(f"{where}: start_s and end_s are seconds ({error}); mend the row.") from error
    if not 0 <= start < end < float("inf"):
        raise CorpusError(f"{where}: it lasts from {start:g} s to {end:g} s; an event ends after its begin.")
    if row["real"] not in ("yes", "no"):
        raise CorpusError(f"{where}: real is {row['real']!r}; write yes for a recording, no for synthetic speech.")
    words = {name: row.get(name, "") for name in ("label", "speaker", "accent", "condition", "clip")}
    return Truth(start_s=start, end_s=end, real=row["real"] == "yes", **words)
