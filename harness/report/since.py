"""What a build changed since its last release: figures, placement, latency; as HTML of the scorecard."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from harness.baseline import Release
from harness.report import markup
from harness.report.conclusion import change, difference, interval
from harness.report.curves import latencies
from harness.row import AT_LEAST, Before, Row, keyed

MOST_MOVED = 6  # figures shown that changed most, in units of their limits
MOST_NODES = 40
MOVED = ("gate", "slice", "last release -> now", "interval now", "unit")
NODES = ("node", "what changed", "was", "is")
TIMED = {"inference": "inference", "total": "end to end"}

NodeChange = tuple[str, str, str, str]


def section(rows: Sequence[Row], release: Release, artifact: Mapping[str, Any], ms: Mapping[str, list[float]]) -> str:
    """All of it, for one build."""
    origin = release.origin
    who = "".join(f", {name} {each}" for name, each in (("by", origin.by), ("at", origin.commit)) if each)
    text = (
        f"<h3>Since the release of {escape(origin.date)}</h3><p>{escape(f'{origin.word}{who}, run {origin.run}')}</p>"
    )
    moved = most_moved(rows, keyed(release.figures()))
    text += markup.table(MOVED, moved) if moved else "<p>No figure changed.</p>"
    nodes = placement_changes(release, artifact["placement"]["nodes"]) if artifact else []
    if nodes:
        more = f", the first {MOST_NODES}" if len(nodes) > MOST_NODES else ""
        text += f"<p>Placement: {len(nodes)} changes{more}.</p>{markup.table(NODES, nodes[:MOST_NODES])}"
    elif artifact:
        text += "<p>Placement: no node moved.</p>"
    for name, what in TIMED.items():
        if ms.get(name) and name in release.latency_ms:
            now = np.percentile(ms[name], range(101)).tolist()
            picture = latencies(now, release.latency_ms[name], f"{what}, {len(ms[name])} rounds", origin.date[:10])
            text += f"<p>{markup.image(picture, f'{what} of this build and of its release')}</p>"
    return text


def most_moved(rows: Sequence[Row], before: Before) -> list[tuple[str, str, str, str, str]]:
    """Margins whose figures changed, for the worse first, as cells of a table."""
    changed = [(row, difference(row, before)) for row in rows if not row.screened]
    ranked = sorted(((row, _worse(row, by)) for row, by in changed if by), key=lambda pair: -pair[1])
    worst = ranked[:MOST_MOVED]
    return [(row.gate, row.slice, change(row, before), interval(row), row.unit) for row, _ in worst]


def placement_changes(release: Release, nodes: Sequence[Mapping[str, Any]]) -> list[NodeChange]:
    """Nodes that came, went, or run elsewhere or otherwise than when released."""
    was = {name: (op, dtype, where, _falls(fallback)) for name, op, dtype, where, fallback in release.nodes}
    now = {
        str(node["name"]): (node["op"], node["dtype"], node["where"], _falls(bool(node["fallback"]))) for node in nodes
    }
    told = []
    for name in dict.fromkeys((*now, *was)):
        if was.get(name) != now.get(name):
            what = "new" if name not in was else "gone" if name not in now else "changed"
            told.append((name, what, _words(was.get(name)), _words(now.get(name))))
    return told


def flips(found: Mapping[str, Any], audio: Mapping[str, bytes]) -> str:
    """The worst flipped decisions, each to be played where its audio is there (by file name)."""
    if not found.get("heard"):
        return ""
    lines = []
    for each in found["heard"]:
        said = [each[name] for name in ("label", "golden", "tested", "accent", "speaker", "condition", "id")]
        cells = "".join(f"<td>{escape(str(cell if cell is not None else 'nothing finite'))}</td>" for cell in said)
        data = audio.get(each["file"])
        player = _player(data) if data else "gone"
        lines.append(f"<tr data-slice='{escape(_slice(each))}'><td>{player}</td>{cells}</tr>")
    head = "".join(
        f"<th>{each}</th>" for each in ("", "says", "float", "build", "accent", "voice", "condition", "clip")
    )
    count = f"{len(lines)} of {found['count']}" if found["count"] > len(lines) else str(len(lines))
    return f"<h3>Flipped decisions, worst first ({count})</h3><table><tr>{head}</tr>{''.join(lines)}</table>"


def _player(data: bytes) -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<audio controls preload="metadata" src="data:audio/flac;base64,{encoded}"></audio>'


def _slice(flip: Mapping[str, Any]) -> str:
    return f"accent={flip['accent']},condition={flip['condition']}"


def _worse(row: Row, by: float) -> float:
    scale = abs(row.limit) if row.limit else 1.0
    return (-by if row.gate in AT_LEAST else by) / scale


def _falls(fallback: bool) -> str:
    return "falls back" if fallback else ""


def _words(node: tuple[str, str, str, str] | None) -> str:
    return " ".join(filter(None, (node[0], node[1], f"on {node[2]}", node[3]))) if node else ""
