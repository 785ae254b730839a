"""The scorecard: one HTML page that needs nothing beside itself, to be mailed and kept with a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from harness.report import beside, det, markup, since
from harness.report.conclusion import GRAVEST_FIRST, Conclusion, conclude, from_cache, sources, used
from harness.report.records import Records, heatmaps
from harness.row import Before, Row
from harness.verdict import Outcome

CLOSEST = 8  # passing slices shown a build, nearest to their limits first
ARTIFACT = ("build", "evidence", "file KiB", "nodes", "off the unit", "inputs' digest", "built by")
PLAN = ("candidate", "recipe", "gate", "slice", "limit", "can rule out", "clips", "speakers")


def scorecard(records: Records) -> str:
    """Verdicts first, then what does not pass, then each build, then what it all rests on."""
    conclusions = conclude(records.rows)
    pictures = heatmaps(records.rows, records.before)
    parts = [
        f"<h1>voxgate scorecard</h1><p>run {escape(records.folder.name)}</p>",
        *map(_verdict, conclusions),
        *(f'<p class="verdict INCONCLUSIVE">{escape(line)}</p>' for line in records.drift),
        _failing(records.rows, records.before),
        *(_build(each, pictures.get(each.title), records) for each in conclusions),
        _undecidable(records.plan),
        _provenance(records),
    ]
    return markup.page(f"voxgate scorecard {records.folder.name}", "".join(parts))


def _verdict(conclusion: Conclusion) -> str:
    return (
        f'<p class="verdict {markup.style(conclusion.outcome.value)}">{_word(conclusion)} '
        f'<a href="#{_anchor(conclusion.title)}">{escape(conclusion.title)}</a>: {escape(conclusion.reason)}</p>'
    )


def _word(conclusion: Conclusion) -> str:
    """The verdict, leading to what does not pass where something does not."""
    word = f"<b>{escape(conclusion.word)}</b>"
    return word if conclusion.outcome is Outcome.PASS else f'<a href="#not-{_anchor(conclusion.title)}">{word}</a>'


def _failing(rows: Sequence[Row], before: Before) -> str:
    found = sorted((row for row in rows if row.outcome is not Outcome.PASS), key=_gravity)
    if not found:
        return "<h2>What does not pass</h2><p>Nothing: every figure keeps its limit.</p>"
    builds: dict[str, list[Row]] = {}
    for row in found:
        builds.setdefault(f"{row.candidate} on {row.build}", []).append(row)
    tables = "".join(
        f'<h3 id="not-{_anchor(name)}"><a href="#{_anchor(name)}">{escape(name)}</a></h3>{markup.figures(own, before)}'
        for name, own in builds.items()
    )
    return f"<h2>What does not pass ({len(found)})</h2>{tables}"


def _build(conclusion: Conclusion, picture: bytes | None, records: Records) -> str:
    passed = sorted((row for row in conclusion.rows if row.outcome is Outcome.PASS), key=used, reverse=True)
    text = f'<h2 id="{_anchor(conclusion.title)}">{escape(conclusion.title)}: {escape(conclusion.word)}</h2>'
    text += f"<p>{escape(sources(conclusion.rows))}</p>"
    if picture:
        text += f"<p>{markup.image(picture, f'accuracy drop by accent and condition, {conclusion.title}')}</p>"
    name = f"{conclusion.candidate}/{conclusion.build}"
    if curves := records.curves.get(name):
        picture = det.plot(curves, f"{conclusion.title}: words missed against false accepts")
        text += f"<p>{markup.image(picture, f'detection error tradeoff, {conclusion.title}')}</p>"
        text += markup.table(det.HEAD, det.lines(curves))
    heard = records.flips.get(name, {})
    audio = {each["file"]: records.audio(name, each["file"]) for each in heard.get("heard", ())}
    text += since.flips(heard, {file: data for file, data in audio.items() if data})
    if passed:
        shown = markup.figures(passed[:CLOSEST], records.before)
        text += f"<h3>Nearest to their limits, of {len(passed)} that pass</h3>{shown}"
    if times := beside.read(records.folder).get((conclusion.candidate, conclusion.build)):
        text += f"<h3>The toolchain's own number, and what it leaves out</h3>{beside.html(times)}"
    artifact = records.artifacts.get(name, {})
    if name in records.baselines:
        text += since.section(conclusion.rows, records.baselines[name].last, artifact, records.latency(name))
    return text + (_fallbacks(artifact) if artifact else "")


def _fallbacks(artifact: Mapping[str, Any]) -> str:
    nodes = artifact["placement"]["nodes"]
    found = [node for node in nodes if node["fallback"]]
    said = f"<h3>Placement ({escape(str(artifact['placement']['evidence']))})</h3>"
    if not found:
        return f"{said}<p>All {len(nodes)} nodes run where the target is for.</p>"
    names = ("name", "op", "dtype", "where", "reason")
    lines = [[node[name] for name in names] for node in found]
    return f"{said}<p>{len(found)} of {len(nodes)} nodes fall back.</p>{markup.table(names, lines)}"


def _undecidable(plan: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        (
            entry["candidate"],
            entry["recipe"],
            entry["gate"],
            entry["slice"],
            f"{entry['limit']:g}",
            f"{entry['smallest']:.2g}",
            entry["clips"],
            entry["clusters"],
        )
        for entry in plan
        if not entry["ok"]
    ]
    if not plan:
        return ""
    text = "<h2>What this corpus cannot decide</h2>"
    if not lines:
        return f"{text}<p>Nothing: all {len(plan)} budgets are decidable.</p>"
    return f"{text}<p>{len(lines)} of {len(plan)} budgets, even were nothing to flip.</p>{markup.table(PLAN, lines)}"


def _provenance(records: Records) -> str:
    facts = records.facts
    known = [("command", facts.get("command", "")), *sorted(facts.get("environment", {}).items())]
    known += [("quarantine", line) for line in facts.get("quarantine", ())]
    cached = from_cache(facts.get("cache", {}))
    if cached:
        known.append(("cache", cached))
    lines = [_artifact(name, artifact) for name, artifact in records.artifacts.items() if artifact]
    built = markup.table(ARTIFACT, lines) if lines else ""
    return f"<h2>Provenance</h2>{markup.table(('fact', ''), known)}{built}"


def _artifact(name: str, artifact: Mapping[str, Any]) -> Sequence[object]:
    nodes = artifact["placement"]["nodes"]
    return (
        name,
        artifact["evidence"],
        f"{artifact['sizes']['file'] / 1024:.1f}",
        len(nodes),
        sum(node["fallback"] for node in nodes),
        artifact["key"][:16],
        ", ".join(f"{tool} {version}" for tool, version in sorted(artifact["tools"].items())),
    )


def _gravity(row: Row) -> tuple[str, str, int, float]:
    return row.candidate, row.build, GRAVEST_FIRST.index(row.outcome), -used(row)


def _anchor(title: str) -> str:
    return escape("".join(letter if letter.isalnum() else "-" for letter in title))
