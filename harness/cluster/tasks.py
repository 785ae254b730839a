"""What a worker does: one stage, from values to values. It runs the code that a local run runs.

Scratch files lie in the worker's own folder, which Dask removes with the worker.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.audio.clip import Clip
from harness.audio.conditions import Condition, Rendered, read_renditions, render_into
from harness.audio.corpus import Corpus
from harness.build import artifact_key
from harness.build import build as build_artifact
from harness.build import load as load_artifact
from harness.cache import Cache, digest
from harness.candidate import load
from harness.cluster.make import make, refuse_other
from harness.cluster.parcel import Parcel, pack_whole, unpack
from harness.errors import InfraError
from harness.quantize import trained
from harness.recipe import Recipe
from harness.score.command import Decoded, decoded
from harness.score.ctc import Decoder
from harness.targets.base import Artifact, Board, Features, Logits, Scores
from harness.targets.registry import registry

# One stage at a time: rooms are simulated with a number of threads that a process has one of.
ONE = threading.Lock()


@dataclass(frozen=True, slots=True)
class Sound:
    """One clip with the bytes of its file."""

    id: str
    name: str
    content: bytes
    resample: bool
    mixed: bool


def do(asked_by: Mapping[str, str], stage: str, request: tuple[Any, ...]) -> tuple[str, Any]:
    """The worker's name and the answer. Raises InfraError on a worker that is not of the same make."""
    from distributed import get_worker

    worker = get_worker()
    refuse_other(str(worker.name), asked_by, make())
    scratch = Cache(Path(worker.local_directory) / "voxgate")
    with ONE:
        return str(worker.name), STAGES[stage](scratch, *request)


def render(scratch: Cache, sounds: Sequence[Sound], condition: Condition, samples: int, rate: int) -> Rendered:
    """Some clips under one condition."""
    scratch.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="clips-", dir=scratch.root) as name:
        folder, made = Path(name), Path(name, "made")
        made.mkdir()
        unpack(tuple((sound.name, sound.content) for sound in sounds), folder)
        clips = tuple(
            Clip(sound.id, folder / sound.name, "", "", "", "test", None, sound.resample, sound.mixed)
            for sound in sounds
        )
        corpus = Corpus("sent", folder, clips, rate, {}, False)
        render_into(made, corpus, condition, samples, scratch, _silent)
        found = read_renditions(made, corpus, condition)
        return found.audio.tobytes(), found.levels_db.tobytes(), found.sketch.tobytes()


def build(scratch: Cache, sent: Parcel, recipe: Recipe, calibration: Features, key: str, provision: bool) -> Parcel:
    """The files of a build. Raises InfraError where this machine's tools would not build what ``key`` stands for."""
    candidate, target = load(_laid(scratch, "candidates", sent)), registry()[recipe.target]
    if provision:
        target.provision(candidate, _silent)
    if artifact_key(target, trained.stand_in(candidate, recipe), recipe, calibration) != key:
        tools = ", ".join(f"{name} {version}" for name, version in sorted(target.tools(recipe).items()))
        raise InfraError(
            f"{candidate.name} {recipe.id}: a worker's toolchain is not that of the machine that asks; it has {tools}. "
            "Install the same there (voxgate toolchain list), or run without --scheduler."
        )
    _, entry = build_artifact(target, candidate, recipe, calibration, scratch, _silent)
    return pack_whole(entry.path)


def run(scratch: Cache, sent: Parcel, board: str, features: Features) -> Logits:
    """Outputs of some windows."""
    artifact = _artifact(scratch, sent)
    return _board(artifact, board).run(artifact, features, _silent)


def stream(scratch: Cache, sent: Parcel, board: str, features: Features) -> Scores:
    """Scores of a whole stream."""
    artifact = _artifact(scratch, sent)
    return _board(artifact, board).stream(artifact, features, _silent)


def score(scratch: Cache, decoder: Decoder, said: Sequence[str], outputs: Logits) -> Decoded:
    """What some outputs say."""
    del scratch
    return decoded(decoder, said, outputs)


STAGES: dict[str, Callable[..., Any]] = {each.__name__: each for each in (render, build, run, stream, score)}


def _artifact(scratch: Cache, sent: Parcel) -> Artifact:
    return load_artifact(_laid(scratch, "sent", sent))


def _laid(scratch: Cache, kind: str, sent: Parcel) -> Path:
    """A parcel as files, laid once."""
    key = digest(*(part for name, content in sent for part in (name, content)))
    return scratch.entry(kind, key, lambda folder: unpack(sent, folder)).path


def _board(artifact: Artifact, name: str) -> Board:
    found = registry()[artifact.recipe.target].board(artifact.recipe)
    if found.name != name:
        raise InfraError(
            f"{artifact.candidate} {artifact.recipe.id}: a worker would run it on {found.name}, not on {name}; set "
            "it up as the machine that asks, or run without --scheduler."
        )
    return found


def _silent(_: str) -> None:
    """Progress has nobody to go to."""
