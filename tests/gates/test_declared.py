"""What model.toml asks for is what a whole run leaves, no more and no less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.candidate import load
from harness.gates.declared import declared, unjudged
from harness.row import SPEECH, Row
from harness.score.slices import margins
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild
from tests.report.rows import row
from tests.score.tables import CONDITIONS

HOUSE = Path(__file__).parents[2]
MARGINS = margins({"de": "foreign", "sv": "foreign"}, (), CONDITIONS)
BUDGETS = """
drop = { overall = 1, accent = 4 }
regression = { overall = 1 }
latency_ms = { p50 = 1, p99 = 2 }
end_to_end_ms = { p95 = 3 }
slowdown = 2
layers = 9
partitions = 2
rss_mib = 4
device_mib = 5
"""
ASKED = {
    ("sanity", "overall"),
    ("placement", "fallback"),
    ("placement", "layers"),
    ("placement", "partitions"),
    ("accuracy", "overall"),
    ("accuracy", "accent=de"),
    ("accuracy", "accent=sv"),
    ("latency", "inference p50"),
    ("latency", "inference p99"),
    ("latency", "end to end p95"),
    ("latency", "inference over float, p50"),
    ("footprint", "rss"),
    ("footprint", "device memory"),
}


def test_every_limit_is_a_row(build: MakeBuild) -> None:
    own = build(BUDGETS)
    assert declared(own.candidate, own.recipe, MARGINS, released=False) == ASKED
    released = declared(own.candidate, own.recipe, MARGINS, released=True)
    assert released == ASKED | {("regression", "overall")}


def test_what_lacks_is_named_unless_its_gate_says_why(build: MakeBuild) -> None:
    own = build(BUDGETS)
    rows: list[Row] = [row(gate, part) for gate, part in sorted(ASKED)]

    def told(*given: Row) -> str:
        return unjudged(given, own.candidate, own.recipe, MARGINS, released=False)

    assert told(*rows) == ""
    quick = [each for each in rows if each.gate != "latency"]
    assert told(*quick) == (
        "no latency end to end p95, latency inference over float, p50, latency inference p50 and 1 more"
    )
    lack = replace(rows[0], gate="latency", slice="inference", value=None, outcome=Outcome.NOT_MEASURED)
    assert told(*quick, lack) == ""


def test_a_wake_word_answers_for_every_stream_that_it_hears() -> None:
    own = load(HOUSE / "models" / "computer", HOUSE)
    int8 = own.recipe("host/int8")
    asked = declared(own, int8, (), released=False)
    assert ("reset", "overall") in asked
    assert ("sanity", "overall") not in asked
    rows = [row(gate, part) for gate, part in asked]
    heard = [row("frr", f"{kind} overall") for kind in SPEECH]
    assert unjudged([*rows, heard[0]], own, int8, (), released=False) == "no figures of all of its 2 streams"
    assert unjudged([*rows, *heard], own, int8, (), released=False) == ""
