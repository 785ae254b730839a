"""HTML of the report's own pages: a page that needs nothing beside itself, and its tables."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from types import MappingProxyType

from harness.report.conclusion import change, interval, limit
from harness.row import Before, Row

STYLE = """
:root { color-scheme: light dark }
body { font: 14px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #8884 }
table { border-collapse: collapse; margin: .5rem 0 } caption { text-align: left; font-weight: 600 }
th, td { text-align: left; padding: .15rem .6rem; border-bottom: 1px solid #8883; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.marked td { background: #d3222226 }
.PASS { color: #18794e } .FAIL { color: #cd2b31; font-weight: 600 } .INCONCLUSIVE { color: #946800; font-weight: 600 }
.UNSUPPORTED, .not-measured { color: #0b7285 } .INFRA { color: #8e24aa; font-weight: 600 }
p.verdict { font-size: 1.05rem; border-left: 4px solid currentColor; padding-left: .7rem }
img { max-width: 100%; background: white } audio { height: 1.8rem; width: 13rem; vertical-align: middle }
"""
FIGURES = ("gate", "slice", "value", "limit", "interval", "n", "evidence", "verdict", "why")


def page(title: str, body: str) -> str:
    """A whole document; ``body`` is markup, ``title`` is text."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


def table(head: Sequence[str], lines: Iterable[Sequence[object]], marked: Iterable[bool] = ()) -> str:
    """A table of text, marked lines shaded; every cell is escaped."""
    shades = iter(marked)
    body = "".join(
        f"<tr{' class=marked' if next(shades, False) else ''}>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in line)
        + "</tr>"
        for line in lines
    )
    return f"<table><tr>{_headings(head)}</tr>{body}</table>"


def figures(rows: Iterable[Row], before: Before = MappingProxyType({})) -> str:
    """A table of rows, verdicts in colour; values read ``0.3 -> 1.2`` where a slice was released ``before``."""
    return f"<table><tr>{_headings(FIGURES)}</tr>{''.join(_line(row, before) for row in rows)}</table>"


def image(picture: bytes, alt: str) -> str:
    """A PNG within the page."""
    data = base64.b64encode(picture).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def style(outcome: str) -> str:
    """The class a verdict is coloured by."""
    return outcome.replace(" ", "-")


def _headings(names: Sequence[str]) -> str:
    return "".join(f"<th>{escape(name)}</th>" for name in names)


def _line(row: Row, before: Before) -> str:
    numbers = "".join(
        f'<td class="number">{escape(text)}</td>'
        for text in (change(row, before), limit(row), interval(row), str(row.n or ""))
    )
    return (
        f"<tr><td>{escape(row.gate)}</td><td>{escape(row.slice)}</td>{numbers}<td>{escape(row.evidence)}</td>"
        f'<td class="{style(row.outcome.value)}">{escape(row.outcome.value)}</td><td>{escape(row.detail)}</td></tr>'
    )
