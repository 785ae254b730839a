"""The accuracy gate at the shipped corpus' size: what it finds, what it misses, what it never claims.

20 accents of 10 speakers of 13 clips under 7 conditions; limits as in models/commands.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness.gates.accuracy import judge
from harness.gates.base import Build
from harness.score.keyword import Comparison, Mask
from harness.score.slices import cells, margins
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild
from tests.score.tables import perfect, wrong_where

ACCENTS = {f"a{i:02}": "native" if i < 4 else "foreign" for i in range(20)}
UNSEEN = ("a16", "a17", "a18", "a19")
CONDITIONS = tuple(f"c{i}" for i in range(7))
MARGINS = margins(ACCENTS, UNSEEN, CONDITIONS)
CELLS = cells(ACCENTS, CONDITIONS)
LIMITS = "drop = { overall = 1.0, group = 1.5, accent = 4.0, condition = 2.0, cell = 10.0 }"
HARMED = "a07"


@pytest.fixture(scope="module")
def shipped() -> Comparison:
    return perfect(tuple(ACCENTS), speakers=10, clips=13, conditions=CONDITIONS)


def harmed(table: Comparison, random: np.random.Generator, share: float, between: float) -> Mask:
    """Renderings of one accent to get wrong: ``share`` of them, speakers and clips alike to ``between``."""
    scale = 1 / between - 1
    speaker = random.beta(share * scale, (1 - share) * scale, table.speaker.max() + 1)[table.speaker]
    clip = random.uniform(size=table.clip.max() + 1)[table.clip]
    mostly = random.uniform(size=len(speaker)) < 10 * between
    drawn = np.where(mostly, clip, random.uniform(size=len(speaker)))
    wrong: Mask = (table.accent == HARMED) & (drawn < speaker)
    return wrong


def noisy(table: Comparison, random: np.random.Generator, share: float = 0.004) -> Comparison:
    """Healthy quantization: a few renderings turn from right to wrong, as many from wrong to right."""
    lost = random.uniform(size=len(table.truth)) < share
    gained = ~lost & (random.uniform(size=len(table.truth)) < share)
    return replace(wrong_where(table, lost), golden=wrong_where(table, gained).tested)


def verdicts(build: Build, table: Comparison) -> tuple[Outcome, set[str]]:
    """The verdict on the harmed accent, and all other margins and cells that fail."""
    rows = judge(build, table, "drop", MARGINS)
    failed = {name for name, row in rows.items() if row.outcome is Outcome.FAIL}
    return rows[f"accent={HARMED}"].outcome, failed - {f"accent={HARMED}"}


def test_thirty_seeds_of_a_healthy_build_never_fail(build: MakeBuild, shipped: Comparison) -> None:
    outcomes: Counter[Outcome] = Counter()
    random = np.random.default_rng(0)
    for seed in range(30):
        own = build(LIMITS, seed=seed)
        table = noisy(shipped, random)
        outcomes.update(row.outcome for row in judge(own, table, "drop", MARGINS).values())
        if seed < 5:
            outcomes.update(row.outcome for row in judge(own, table, "drop", CELLS).values())
    assert outcomes == {Outcome.PASS: 30 * len(MARGINS) + 5 * len(CELLS)}


def test_a_build_at_its_limit_everywhere_is_hardly_ever_failed(build: MakeBuild, shipped: Comparison) -> None:
    """Every accent drops by exactly its limit: Holm keeps a false FAIL on any of them below 5 %."""
    own = build("drop.accent = 4.0")
    random = np.random.default_rng(1)
    falsely = 0
    for _ in range(60):
        table = wrong_where(shipped, random.uniform(size=len(shipped.truth)) < 0.04)
        falsely += any(row.outcome is Outcome.FAIL for row in judge(own, table, "drop", MARGINS).values())
    assert falsely <= 7  # P(Binomial(60, 0.05) > 7) = 0.8 %


@pytest.mark.parametrize(
    ("share", "between", "least"),
    [(0.08, 0.001, 0.3), (0.12, 0.001, 0.9), (0.12, 0.02, 0.3), (0.20, 0.02, 0.9)],
    ids=["2x", "3x", "3x clustered", "5x clustered"],
)
def test_power_to_fail_one_accent(
    build: MakeBuild, shipped: Comparison, share: float, between: float, least: float
) -> None:
    """Ten speakers and Holm over 31 margins show 2x the limit about every other time, and 3x nearly always.

    Whatever the power to FAIL: harm of twice the limit must not PASS, and no other accent may be blamed.
    """
    own = build(LIMITS.replace("overall = 1.0", "overall = 3.0").replace("1.5", "4.0"))
    random = np.random.default_rng(2)
    found: Counter[Outcome] = Counter()
    blamed: Counter[str] = Counter()
    for _ in range(30):
        outcome, others = verdicts(own, wrong_where(shipped, harmed(shipped, random, share, between)))
        found[outcome] += 1
        blamed.update(others)
    assert found[Outcome.PASS] == 0
    assert found[Outcome.FAIL] >= 30 * least, dict(found)
    assert not blamed


def test_harm_of_half_the_limit_is_no_fail(build: MakeBuild, shipped: Comparison) -> None:
    own, random = build(LIMITS), np.random.default_rng(3)
    found = [verdicts(own, wrong_where(shipped, harmed(shipped, random, 0.01, 0.001))) for _ in range(10)]
    assert [outcome for outcome, _ in found] == [Outcome.PASS] * 10
    assert not any(others for _, others in found)
