"""Is the float model itself wrong on this audio? Other front ends and another order of labels are tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.audio.conditions import Pcm
from harness.audio.frontend import FrontEnd
from harness.cache import digest
from harness.candidate import Candidate
from harness.diagnose.case import Case
from harness.diagnose.effect import Effect, Sample
from harness.diagnose.findings import EXPLAINS, Cause
from harness.diagnose.upstream import GAIN, other_front_ends, relabelled, toml
from harness.errors import CandidateError
from harness.fitting import conditions
from harness.run import FLOAT, Run
from harness.score.keyword import Comparison, decisions
from harness.score.slices import Slice
from harness.targets.base import Logits
from harness.targets.registry import registry

FEW = 64  # renderings a front end is tried on


def below_floors(run: Run, candidate: Candidate, comparison: Comparison) -> tuple[Slice, bool, float] | None:
    """The floor that float misses by most: slice, keywords only, points missing. None where it keeps them all."""
    found: list[tuple[float, Slice, bool]] = []
    right = decisions(comparison.golden) == comparison.truth
    for floor, part in {**run.floors(candidate, "golden"), **run.floors(candidate, "artifact")}.values():
        keywords = floor.metric == "recall"
        mask = comparison.where(part) & comparison.keyword if keywords else comparison.where(part)
        if mask.any() and 100 * right[mask].mean() < floor.min:
            found.append((floor.min - 100 * float(right[mask].mean()), part, keywords))
    if not found:
        return None
    missing, part, keywords = max(found, key=lambda each: each[0])
    return part, keywords, missing


def examine(case: Case, missing: float) -> None:
    """Causes of a float model that is wrong on the case's sample by ``missing`` points."""
    short = case.sample.reduced(2 * FEW)
    _labels(case, short, missing)
    if case.time_for("other front ends"):
        _front_ends(case, short.reduced(FEW), missing)


def _labels(case: Case, short: Sample, missing: float) -> None:
    effect, moved = relabelled(short, case.candidate.labels)
    swapped = ", ".join(f"{listed} means {meant}" for listed, meant in moved)
    case.tell("golden", "labels in another order", effect, swapped or "the order listed is the best")
    if moved and _believed(effect):
        labels = list(case.candidate.labels)
        for listed, meant in moved:
            labels[case.candidate.labels.index(listed)] = meant
        fix = f"in model.toml: labels = {labels}".replace("'", '"')
        what = f"labels are not in the order of the outputs ({swapped})"
        case.causes.append(Cause("golden", what, effect, _share(effect, missing), fix))


def _front_ends(case: Case, short: Sample, missing: float) -> None:
    tried: list[tuple[float, dict[str, object]]] = []
    audio = _audio(case, short)
    for edit, front in other_front_ends(case.candidate.frontend):
        if case.left <= 0:
            case.left_out.append("some front ends: no time left")
            break
        try:
            logits = _float(case, audio, front)
        except CandidateError:
            continue  # the library cannot compute it, so the model was not trained with it
        tried.append((short.surprise(logits), edit))
    if not tried:
        return
    _, edit = min(tried, key=lambda each: each[0])
    # The best of many is told on all of the sample: few renderings chose it, and are too few to believe it by.
    best = FrontEnd.model_validate(case.candidate.frontend.model_dump() | edit)
    effect = case.sample.gain(_float(case, _audio(case, case.sample), best))
    said = toml(edit)
    case.tell("front end", f"the best of {len(tried)} other front ends", effect, said)
    if _believed(effect):
        what = "the model was trained with another one: " + ", ".join(
            f"{key} = {value!r} serves it better than {getattr(case.candidate.frontend, key)!r}"
            for key, value in edit.items()
        )
        case.causes.append(Cause("front end", what, effect, _share(effect, missing), said))


def _audio(case: Case, short: Sample) -> Pcm:
    """The renderings of the short sample, ``(n, samples)``; ``clip`` and ``condition`` find them again."""
    names = conditions(case.candidate)
    audio = [case.run.renditions(case.candidate, name).audio for name in names]
    return np.stack([audio[where][clip] for where, clip in zip(short.condition, short.clip, strict=True)])


def _float(case: Case, audio: Pcm, front: FrontEnd) -> Logits:
    """What the float model says through another front end. Raises CandidateError for one that cannot be."""
    artifact = case.run.artifact(case.candidate, FLOAT)
    key = digest(artifact.key, front.model_dump(), audio.shape, np.ascontiguousarray(audio).tobytes())

    def make(folder: Path) -> None:
        logits = registry()[FLOAT.target].board(FLOAT).run(artifact, front.batch(audio), lambda _: None)
        np.save(folder / "logits.npy", logits, allow_pickle=False)

    found = case.run.cache.entry("front-ends", key, make)
    return np.asarray(np.load(found.path / "logits.npy", allow_pickle=False), np.float32)


def _believed(effect: Effect) -> bool:
    return effect.points >= GAIN and effect.low > 0


def _share(effect: Effect, missing: float) -> float:
    """Of the points missing to the floor; one that gains a tenth of the whole score is at fault whatever is missing."""
    return min(1.0, max(effect.points / max(missing, GAIN), EXPLAINS if effect.points >= 2 * GAIN else 0.0))
