"""Stages of a candidate that hears windows: features, outputs, golden, comparison. ``Run`` keeps what they return."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from harness import golden as goldens
from harness.cache import digest, let_go, save_parts
from harness.candidate import Candidate, KeywordHead
from harness.errors import GoldenError
from harness.fitting import conditions
from harness.golden import Golden, Provenance
from harness.recipe import FLOAT, Recipe
from harness.score import command, keyword
from harness.score.keyword import Comparison
from harness.targets.base import Features, Logits
from harness.targets.registry import registry

if TYPE_CHECKING:
    from harness.run import Run

FRONT_TOOLS = ("kaldi-native-fbank", "audiomentations", "pyroomacoustics", "onnxruntime")
PARITY_CLIPS = 200


def features(run: Run, candidate: Candidate, condition: str) -> Features:
    renditions = run.renditions(candidate, condition)
    front = candidate.frontend
    key = digest(renditions.digest, front.model_dump(), front.made_by)

    def make(folder: Path) -> None:
        run.say(f"features of {candidate.name}, {condition}")
        save_parts(folder / "features.npy", front.parts(renditions.audio), len(renditions.audio))

    entry = run.cache.entry("features", key, make)
    return cast(Features, np.load(entry.path / "features.npy", mmap_mode="r", allow_pickle=False))


def golden(run: Run, candidate: Candidate) -> dict[str, Golden]:
    run.ready(candidate)
    found, reasons, changed = {}, [], []
    for condition in conditions(candidate):
        now = run.fresh(candidate, condition)
        path = goldens.place(candidate.house, candidate.name, condition)
        if goldens.is_due(path, run.golden_mode):
            difference = goldens.difference(path, now)
            if difference:
                changed.append(difference)
                goldens.write(path, now)
        stored = goldens.read(path)
        reasons += [
            f"{condition}: {fault}" for fault in goldens.faults(stored, now, run.renditions(candidate, condition))
        ]
        found[condition] = stored
    run.write(f"{candidate.name}/golden", {c: asdict(g.provenance) for c, g in found.items()})
    if changed:
        run.write(f"{candidate.name}/golden-changes", changed)
    if reasons:
        raise GoldenError(
            f"golden of {candidate.name} cannot judge it: {'; '.join(reasons[:3])}"
            f"{f'; and {len(reasons) - 3} more' if len(reasons) > 3 else ''}. If this is meant, review and accept "
            "new outputs with: pytest --golden=update -k golden"
        )
    return found


def fresh(run: Run, candidate: Candidate, condition: str) -> Golden:
    renditions = run.renditions(candidate, condition)
    return Golden(
        Provenance(
            candidate=candidate.name,
            condition=condition,
            labels=candidate.labels,
            model=digest(candidate.model),
            frontend=digest(candidate.frontend.model_dump()),
            corpus=run.corpus(candidate).split("test").digest,
            audio=renditions.digest,
            tools={name: version(name) for name in FRONT_TOOLS},
            grammar=digest(candidate.grammar.sentences) if candidate.grammar else "",
            stored="float16" if candidate.task == "command" else "float32",
        ),
        run.outputs(candidate, FLOAT)[condition],
        renditions.levels_db,
        renditions.sketch,
    )


def outputs(run: Run, candidate: Candidate, recipe: Recipe) -> dict[str, Logits]:
    names = conditions(candidate)
    heard = [run.features(candidate, condition) for condition in names]
    if recipe.calibrated:
        for doubt in run.coverage(candidate, recipe).doubts:
            run.say(f"calibration of {candidate.name} {recipe.id}: {doubt}")
    if run.board(candidate, recipe).piecewise:  # a board that is lost then keeps what it finished
        parts = [run.infer(candidate, recipe, part) for part in heard]
        return dict(zip(names, parts, strict=True))
    # One call for all conditions: an emulator builds its graph anew in every call.
    logits = run.infer(candidate, recipe, np.concatenate(heard))
    return dict(zip(names, np.split(logits, len(names)), strict=True))


def infer(run: Run, candidate: Candidate, recipe: Recipe, heard: Features) -> Logits:
    artifact = run.artifact(candidate, recipe)
    board = run.board(candidate, recipe)

    def make(folder: Path) -> None:
        run.say(f"running {candidate.name} {recipe.id} on {board.name}: {len(heard)} windows")
        np.save(folder / "logits.npy", run.engine.run(board, artifact, heard, run.say), allow_pickle=False)

    identity = board.identity()
    board_key = [identity] if identity else []
    entry = run.cache.entry("outputs", digest(artifact.key, *board_key, heard.shape, heard), make)
    let_go(heard)
    return cast(Logits, np.load(entry.path / "logits.npy", allow_pickle=False))


def parity(run: Run, candidate: Candidate, recipe: Recipe) -> tuple[Logits, Logits]:
    first = conditions(candidate)[0]
    own = registry()[recipe.target].float_recipe(recipe)
    converted = run.infer(candidate, own, run.features(candidate, first)[:PARITY_CLIPS])
    return run.outputs(candidate, FLOAT)[first][:PARITY_CLIPS], converted


def compare(run: Run, candidate: Candidate, recipe: Recipe) -> Comparison:
    released = {condition: stored.logits for condition, stored in run.golden(candidate).items()}
    tested = released if recipe == FLOAT else run.outputs(candidate, recipe)
    clips, head = run.clips(candidate), candidate.head
    if isinstance(head, KeywordHead):
        return keyword.compare(clips, head.labels, head.background, released, tested)
    return command.compare(clips, run.decoder(candidate), released, tested, run.engine.score)
