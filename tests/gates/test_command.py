"""Gates of spoken commands: errors above golden's fail the slice that has them, and tokens read amiss are named."""

from __future__ import annotations

import pytest

from harness.gates.accuracy import judge, sane
from harness.score.command import CommandComparison
from harness.score.slices import margins
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild
from tests.score.spoken import CONDITIONS, LABELS, make_clips, own, table

ACCENTS = {"de": "foreign", "pl": "foreign", "sv": "foreign"}
MARGINS = margins(ACCENTS, (), CONDITIONS)
LIMITS = """
command.wer.overall = 10
command.cer.overall = 10
command.wer_rise = { overall = 9, accent = 20, condition = 9 }
"""


@pytest.fixture
def healthy() -> CommandComparison:
    return table(clips=make_clips(tuple(ACCENTS)))


@pytest.fixture
def harmed() -> CommandComparison:
    """Every sv speaker's "turn off the light" and "turn on the light" have lost all but a word."""
    clips = make_clips(tuple(ACCENTS))
    lost = {i: "turn" for i, clip in enumerate(clips) if clip.accent == "sv" and clip.label.startswith("turn")}
    return table(lost, clips=clips)


def test_equal_outputs_pass_and_say_their_intervals(build: MakeBuild, healthy: CommandComparison) -> None:
    for metric in ("wer", "cer", "wer_rise"):
        rows = judge(build(LIMITS), healthy, metric, MARGINS)
        assert {row.outcome for row in rows.values()} == {Outcome.PASS}, rows
        assert {(row.gate, row.clusters) for row in rows.values() if row.slice == "overall"} == {(metric, 12)}


def test_words_lost_in_one_accent_fail_it(build: MakeBuild, harmed: CommandComparison) -> None:
    rows = judge(build(LIMITS), harmed, "wer_rise", MARGINS)
    assert [name for name, row in rows.items() if row.outcome is Outcome.FAIL] == ["accent=sv"]
    assert "word error rate above golden's on accent=sv 37.50 points" in rows["accent=sv"].detail


def test_too_high_a_rate_fails_whatever_golden_has(build: MakeBuild, healthy: CommandComparison) -> None:
    deaf = table(dict.fromkeys(range(72), "go"), clips=make_clips(tuple(ACCENTS)))
    assert judge(build(LIMITS), deaf, "wer", MARGINS)["overall"].outcome is Outcome.FAIL
    assert judge(build(LIMITS), deaf, "cer", MARGINS)["overall"].outcome is Outcome.FAIL


def test_a_wrong_blank_fails_sanity_by_name(build: MakeBuild) -> None:
    labels = [*LABELS[1:], LABELS[0]]
    row = sane(build(), table(reading=own(labels)), MARGINS)
    assert row.outcome is Outcome.FAIL
    assert "output 0 is the blank" in row.detail
