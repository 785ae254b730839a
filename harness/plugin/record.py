"""From a Row to pytest's outcome, and from a VoxgateError to one paragraph without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.errors import GoldenError, VoxgateError
from harness.gates.accuracy import FLOORS
from harness.gates.base import lack, outcome_of
from harness.plugin.house import House
from harness.report.allure import place, show_diagnosis, tell
from harness.report.conclusion import GOLDEN
from harness.row import Row
from harness.run import FLOAT
from harness.verdict import Outcome, worst

ROWS: pytest.StashKey[list[Row]] = pytest.StashKey()
TOLD: pytest.StashKey[bool] = pytest.StashKey()  # whether the test has delivered a row
DIAGNOSED = frozenset({"accuracy", "flips", "sqnr", "sanity", *FLOORS})  # gates whose failure is looked into
OVERALL = "overall"
FIGURES = ("value", "unit", "limit", "low", "high", "n", "clusters", "evidence")


def record(node: pytest.Item, house: House, *rows: Row) -> None:
    """Keep the rows, put the worst one's figures in the JUnit properties, and let it decide the test."""
    for row in rows:
        keep(node, row)
    outcome = worst([row.outcome for row in rows])
    row = next(row for row in rows if row.outcome is outcome)
    node.user_properties += [(name, getattr(row, name)) for name in FIGURES]
    node.user_properties.append(("verdict", outcome.value))
    tell(rows)
    if outcome is Outcome.FAIL and row.gate in DIAGNOSED and row.build != GOLDEN:
        explain(house, row.candidate, row.build, row.slice)
    settle(house, row)


def explain(house: House, candidate: str, build: str, part: str) -> None:
    """Attach why the build fails to the running test, unless ``--diagnose=0``."""
    if house.options.diagnose > 0:
        told = house.diagnosis(candidate, build, part)
        if told is not None:
            show_diagnosis(told)


def keep(node: pytest.Item, row: Row) -> None:
    node.stash.setdefault(ROWS, []).append(row)
    node.stash[TOLD] = True


def settle(house: House, row: Row) -> None:
    """Pass, fail or skip the running test by the row's verdict."""
    said = sentence(row)
    if row.outcome is Outcome.PASS:
        return
    if row.outcome is Outcome.INCONCLUSIVE and house.options.inconclusive == "skip":
        pytest.skip(said)
    if _is_lack(house, row.outcome):
        pytest.skip(said)
    pytest.fail(said, pytrace=False)


def sentence(row: Row) -> str:
    return f"{row.outcome.value} {row.candidate} on {row.build}: {row.detail}. Next: voxgate report shows every slice."


@contextmanager
def plainly(node: pytest.Item, house: House) -> Iterator[None]:
    """Errors a person can mend become an outcome with their message: a lack skips, a fault is an error."""
    try:
        yield
    except VoxgateError as error:
        outcome = outcome_of(error)
        _keep_lack(node, outcome, str(error))
        if isinstance(error, GoldenError) and {"candidate", "recipe"} <= set(_params(node)):
            values = _params(node)
            explain(house, values["candidate"], f"{values['target']}/{values['recipe']}", OVERALL)
        text = f"{outcome.value if outcome is not Outcome.FAIL else 'ERROR'} {error}"
        if _is_lack(house, outcome):
            pytest.skip(text)
        pytest.fail(text, pytrace=False)


def _is_lack(house: House, outcome: Outcome) -> bool:
    """A capability that is absent skips; what only a board can tell is an error once boards are required."""
    measurable = outcome is Outcome.NOT_MEASURED and not house.options.require_board
    return measurable or outcome is Outcome.UNSUPPORTED


def keep_crash(node: pytest.Item, why: str) -> None:
    """A judging test that ended without a row, by an error that is nobody's to mend: never silence."""
    if node.stash.get(TOLD, False):
        return
    _keep_lack(node, Outcome.INFRA, f"the harness itself failed: {why}; please report it")


def _params(node: pytest.Item) -> dict[str, Any]:
    spec = getattr(node, "callspec", None)
    return dict(spec.params) if spec else {}


def _keep_lack(node: pytest.Item, outcome: Outcome, why: str) -> None:
    values = _params(node)
    test = getattr(node, "originalname", node.name).removeprefix("test_").replace("_", " ")
    row = lack(
        (
            str(values.get("candidate", values.get("pipeline", ""))),
            str(values.get("target", FLOAT.target)),
            str(values.get("recipe", FLOAT.name)),
        ),
        node.path.stem.removeprefix("test_"),
        f"{test} {values.get('slice_id', '')}".strip(),
        outcome,
        why,
    )
    keep(node, row)
    place(row)
