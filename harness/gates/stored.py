"""Gates on the golden store: it can judge this candidate, and nothing in it is forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness import golden as goldens
from harness.candidate import Candidate
from harness.fitting import conditions
from harness.golden import Golden
from harness.row import Row
from harness.run import FLOAT
from harness.streaming import golden_stream
from harness.verdict import Outcome


def golden(candidate: Candidate, stored: Mapping[str, Golden], changes: Sequence[str], mode: str) -> Row:
    """PASS when the store judges this candidate as it is; an update fails once, so that it is reviewed."""
    count = sum(len(each.logits) for each in stored.values())
    if changes and mode == "update":
        detail = f"golden outputs rewritten, review and commit them: {'; '.join(changes)}"
        return _row(candidate, "golden", count, Outcome.FAIL, float(len(changes)), detail)
    written = f"; written: {', '.join(changes)}" if changes else ""
    detail = f"float outputs of {len(stored)} conditions agree with golden{written}"
    return _row(candidate, "golden", count, Outcome.PASS, 0.0, detail)


def unused(candidate: Candidate, candidates: Mapping[str, Candidate]) -> Row:
    """FAIL where the candidate's house keeps golden files that nothing asks for."""
    same = {name: each for name, each in candidates.items() if each.house == candidate.house}
    wanted = {name: [golden_stream(each).name] if each.streams else conditions(each) for name, each in same.items()}
    found = goldens.unused(candidate.house, wanted)
    listed = ", ".join(str(path.relative_to(candidate.house)) for path in found[:5])
    detail = f"{len(found)} unused golden files: {listed}; remove them" if found else "every golden file is asked for"
    outcome = Outcome.FAIL if found else Outcome.PASS
    return _row(candidate, "unused golden", len(found), outcome, float(len(found)), detail)


def _row(candidate: Candidate, part: str, n: int, outcome: Outcome, value: float, detail: str) -> Row:
    return Row(
        candidate=candidate.name,
        target=FLOAT.target,
        recipe=FLOAT.name,
        gate="golden",
        slice=part,
        value=value,
        unit="faults",
        limit=0.0,
        low=None,
        high=None,
        n=n,
        clusters=None,
        evidence="host",
        outcome=outcome,
        detail=detail,
    )
