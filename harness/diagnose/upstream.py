"""Before any quantization: golden outputs, labels, and the front end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.optimize import linear_sum_assignment

from harness import golden as goldens
from harness.audio.frontend import FrontEnd
from harness.cache import digest
from harness.candidate import Candidate
from harness.diagnose.effect import Effect, Sample
from harness.diagnose.findings import TOUCHES, Cause, Kind
from harness.errors import GoldenError
from harness.golden import Golden
from harness.run import FLOAT, Run
from harness.score.keyword import decisions
from harness.targets.base import Logits

# What front ends in the field are set to: tried in place of each key of [frontend].
USUAL: dict[str, tuple[Any, ...]] = {
    "kind": ("fbank", "mfcc"),
    "frame_length_ms": (20.0, 25.0, 30.0, 32.0, 40.0),
    "frame_shift_ms": (10.0, 15.0, 16.0, 20.0),
    "low_hz": (0.0, 20.0, 60.0, 64.0, 80.0, 125.0, 300.0),
    "high_hz": (3800.0, 4000.0, 5500.0, 7000.0, 7500.0, 7600.0, 8000.0),
    "preemphasis": (0.0, 0.95, 0.97),
    "window": ("povey", "hanning", "hamming"),
    "mean": (0.0, 5.0, 7.0, 10.0, 15.0),
    "scale": (1.0, 2.0, 4.0, 5.0),
}
GAIN = 5.0  # points of float accuracy that another front end or order of labels must give to be believed
UPDATE = "review and accept new outputs: pytest --golden=update -k golden"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why golden outputs cannot judge: what is the matter, whose it is, and the fix."""

    kind: Kind
    what: str
    fix: str


def reference(run: Run, candidate: Candidate) -> tuple[dict[str, Logits], dict[str, Logits], Fault | None]:
    """Float outputs by condition to diagnose against, the golden ones as they lie there, and what is wrong with them.

    Golden itself where it is sound, else what the float model says now.
    """
    try:
        logits = {condition: stored.logits for condition, stored in run.golden(candidate).items()}
        return logits, logits, None
    except GoldenError as error:
        now = run.outputs(candidate, FLOAT)
        stored: dict[str, Logits] = {}
        fault = Fault("golden", str(error).split(". If this is meant")[0], UPDATE)
        for condition in now:
            try:
                old = goldens.read(goldens.place(candidate.house, candidate.name, condition))
            except GoldenError as unread:
                return now, {}, Fault("golden", str(unread).split(";")[0], f"{UPDATE} (or --golden=new)")
            fault = _fault(old, run.fresh(candidate, condition), candidate) or fault
            stored[condition] = old.logits
        same = all(stored[condition].shape == now[condition].shape for condition in now)
        return now, stored if same else {}, fault


def _fault(old: Golden, new: Golden, candidate: Candidate) -> Fault | None:
    was, now = old.provenance, new.provenance
    if was.model != now.model or was.candidate != now.candidate:
        what = f"golden outputs are those of another model ({was.candidate} {was.model[:12]}, now {now.model[:12]})"
        return Fault("golden", what, f"put back the model they were made from, or {UPDATE}")
    if was.labels != now.labels:
        moved = [f"{a} -> {b}" for a, b in zip(was.labels, now.labels, strict=False) if a != b]
        what = f"the labels changed since golden was made: {', '.join(moved[:4]) or 'their number'}"
        return Fault("golden", what, f"in model.toml: labels = {list(was.labels)}".replace("'", '"'))
    if was.frontend == now.frontend:
        return None
    edit = edit_to(candidate.frontend, was.frontend)
    if edit is None:
        what = "the front end changed since golden was made, in more than two keys or to an unusual value"
        return Fault("front end", what, "put back the [frontend] that the model was trained with")
    said = ", ".join(f"{key} was {value!r} and is {getattr(candidate.frontend, key)!r}" for key, value in edit.items())
    return Fault("front end", f"it changed since golden was made: {said}", toml(edit))


def edit_to(front: FrontEnd, wanted: str) -> dict[str, Any] | None:
    """The one or two keys by which ``front`` becomes the front end of that digest, or None."""
    plain = front.model_dump()
    singles = [{key: value} for key, values in USUAL.items() for value in values if plain[key] != value]
    pairs = ({**a, **b} for a, b in combinations(singles, 2) if a.keys() != b.keys())
    return next((edit for edit in (*singles, *pairs) if digest(plain | edit) == wanted), None)


def toml(edit: Mapping[str, Any]) -> str:
    values = (f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in edit.items())
    return f"in model.toml, [frontend]: {', '.join(values)}"


def golden_cause(fault: Fault, sample: Sample, tested: Logits, stored: Logits | None, lossy: bool) -> Cause:
    """The cause a fault of golden is; its effect: what the build gains by being judged against float as it is now.

    It explains a failure by itself, unless the build is ``lossy`` against that too: then as far as its effect goes.
    """
    if stored is None:
        none = Effect(0.0, 0.0, 0.0, None, 0.0, len(sample), len(np.unique(sample.speaker)))
        share = TOUCHES if lossy else 1.0
        return Cause(fault.kind, fault.what, none, share, fault.fix, ("nothing can be judged against it",))
    against = replace(sample, reference=stored)
    least, most = sample.noise(tested), against.noise(tested)
    gone = 1 - least / most if most else 0.0
    db = sample.sqnr(tested) - against.sqnr(tested)
    effect = replace(sample.effect(sample.reference, stored), db=db, removed=gone)  # points that stand in the drop
    seen = f"the build has {against.sqnr(tested):.1f} dB against golden, {sample.sqnr(tested):.1f} dB against float now"
    return Cause(fault.kind, fault.what, effect, max(gone, TOUCHES) if lossy else 1.0, fault.fix, (seen,))


def relabelled(sample: Sample, labels: tuple[str, ...]) -> tuple[Effect, list[tuple[str, str]]]:
    """What float gains by the best order of its labels, and the labels that move: (listed, meant)."""
    said = decisions(sample.reference)
    counts = np.zeros((len(labels), len(labels)), np.intp)
    np.add.at(counts, (said[said >= 0], sample.truth[said >= 0]), 1)
    order = [int(meant) for meant in linear_sum_assignment(-counts)[1]]
    # A label that is another one in truth is so nearly always, and the other is a third one or it: not one confusion.
    moved = {i for i, meant in enumerate(order) if meant != i and 2 * counts[i, meant] > counts[i].sum()}
    if {order[i] for i in moved} != moved:
        moved = set()
    after = sample.reference.copy()
    for i in moved:
        after[:, order[i]] = sample.reference[:, i]
    return sample.gain(after), [(labels[i], labels[order[i]]) for i in sorted(moved)]


def other_front_ends(front: FrontEnd) -> Iterator[tuple[dict[str, Any], FrontEnd]]:
    """Front ends one key away that give the same frames and bins."""
    plain = front.model_dump()
    for key, values in USUAL.items():
        for value in values:
            if plain[key] == value:
                continue
            try:
                other = FrontEnd.model_validate(plain | {key: value})
            except ValidationError:
                continue
            if (other.frames, other.bins) == (front.frames, front.bins):
                yield {key: value}, other
