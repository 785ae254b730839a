"""Tables people write: TSV or CSV with a header, read with the nearest name for a wrong one."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CorpusError, nearest

MAX_TABLE_BYTES = 64 * 1024 * 1024

Row = tuple[str, dict[str, str]]  # where it stands, for a message; its cells by column


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns with a meaning; the needed ones may not be absent or empty. Others are ignored."""

    known: tuple[str, ...]
    needed: tuple[str, ...]


def read_table_rows(path: Path, columns: Columns, renamed: Mapping[str, str], limit: int) -> list[Row]:
    """The rows of a table, at most ``limit``; ``renamed`` maps a known column to the table's own name."""
    tabs = path.suffix != ".csv"
    reader = csv.reader(
        io.StringIO(read_text(path), newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
    )
    rows: list[Row] = []
    try:
        header = _header(path, [name.strip() for name in next(reader, [])], columns, renamed)
        for cells in reader:
            if cells:
                rows.append(_row(f"{path}, line {reader.line_num}", cells, header, columns))
            if len(rows) > limit:
                raise CorpusError(f"{path} has more than {limit:,} rows; take a part of it.")
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num}: {error}; mend the row.") from error
    return rows


def read_text(path: Path) -> str:
    """A UTF-8 text file of bounded size."""
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise CorpusError(f"{path} is larger than {MAX_TABLE_BYTES >> 20} MiB; take a part of it.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error


def _row(where: str, cells: list[str], header: list[str], columns: Columns) -> Row:
    if len(cells) != len(header):
        raise CorpusError(f"{where}: {len(cells)} cells where the header has {len(header)}; mend the row.")
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    for name in columns.needed:
        if not row[name]:
            raise CorpusError(f"{where}: the {name} is empty; fill it in or drop the row.")
    return where, row


def _header(path: Path, header: list[str], columns: Columns, renamed: Mapping[str, str]) -> list[str]:
    """Column names as ours. A near miss is refused: ignored, it would quietly cost the speakers."""
    for name in renamed:
        if name not in columns.known:
            raise CorpusError(
                f"columns = in corpus.toml maps an unknown {name!r}{nearest(name, columns.known)}; "
                f"known: {', '.join(columns.known)}."
            )
    ours = {theirs: name for name, theirs in renamed.items()}
    header = [ours.get(name, name) for name in header]
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise CorpusError(f"{path}: the column {repeated[0]!r} appears twice; keep one.")
    for name in columns.needed:
        if name not in header:
            raise CorpusError(
                f"{path} has no column {name!r}{nearest(name, header)}; it has {', '.join(header)}. Rename "
                f'one, or map it in corpus.toml: columns = {{ {name} = "..." }}.'
            )
    absent = [name for name in columns.known if name not in header]
    for name in header:
        if name not in columns.known and (hint := nearest(name, absent)):
            raise CorpusError(f"{path} has an unknown column {name!r}{hint}; rename or remove it.")
    return header
