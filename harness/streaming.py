"""What a wake word build says while it listens: streams, their features, and score traces, each on disk at once.

Three traces of one stream are held together: the build's, the float step's, and that of the float model over whole
sequences, which has no state to lose.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.audio import laying, streams
from harness.audio.checks import require_audio
from harness.audio.corpus import load_corpus
from harness.audio.listening import steps
from harness.boards.whole import whole_scores
from harness.cache import digest
from harness.candidate import Candidate, Stream, WakewordHead
from harness.errors import CandidateError, Unsupported
from harness.recipe import Recipe
from harness.score.wakeword import Listening, Trace, kinds
from harness.targets.base import Features, Scores

if TYPE_CHECKING:
    from harness.run import Run

CHUNK_S = 10.0
PROBE_S = 40.0  # heard anew after a reset


@dataclass(frozen=True, slots=True)
class Probe:
    """One piece of a stream heard by a fresh build, and by one that had heard another before and was reset."""

    fresh: Scores
    again: Scores
    kept: Scores  # without the reset: what a state that is not cleared would say

    @property
    def difference(self) -> float:
        return float(np.abs(self.fresh - self.again).max())

    @property
    def memory(self) -> float:
        """By how much scores differ where nothing is reset: without any, the probe could not tell."""
        return float(np.abs(self.fresh - self.kept).max())


def head(candidate: Candidate) -> WakewordHead:
    if not isinstance(candidate.head, WakewordHead):
        raise CandidateError(f'{candidate.name} is no streaming candidate: its task is "{candidate.task}".')
    return candidate.head


def streams_of(candidate: Candidate, recipe: Recipe) -> list[Stream]:
    """The streams that builds for the recipe's target hear, in the order of model.toml."""
    return [stream for stream in candidate.streams if not stream.targets or recipe.target in stream.targets]


def planned(run: Run, candidate: Candidate, wanted: Stream) -> streams.Stream:
    """The stream as planned from its corpora. Raises Unsupported where recordings are not here."""
    spoken = []
    for name in wanted.corpora:
        corpus = load_corpus(name, candidate.house, run.data)
        require_audio(corpus, run.cache)
        spoken += laying.sources(corpus)
    return laying.lay(
        candidate.labels[0],
        spoken,
        hours=wanted.hours,
        words=wanted.words,
        seed=wanted.seed,
        sample_rate=candidate.frontend.sample_rate,
        cache=run.cache,
    )


def features(run: Run, candidate: Candidate, stream: streams.Stream, name: str) -> tuple[str, Features]:
    """The key of a stream's features, and the features ``(steps, frames, bins)``, read as they are asked for."""
    front = candidate.frontend
    key = digest("stream", stream.digest, front.model_dump(), version("kaldi-native-fbank"))

    def make(folder: Path) -> None:
        run.say(f"rendering the stream {name} of {candidate.name}: {stream.hours:.2f} h")
        heard = list(steps(front, stream.chunks(CHUNK_S)))
        np.save(folder / "features.npy", np.concatenate(heard), allow_pickle=False)

    entry = run.cache.entry("streams", key, make)
    return key, np.load(entry.path / "features.npy", mmap_mode="r", allow_pickle=False)


def scores(run: Run, candidate: Candidate, recipe: Recipe, wanted: Stream) -> Scores:
    """One score a step of the built artifact on its board here. Raises Unsupported, ToolchainError."""
    artifact, board = run.artifact(candidate, recipe), run.board(candidate, recipe)
    key, heard = run.heard_stream(candidate, wanted)

    def make(folder: Path) -> None:
        run.say(f"{candidate.name} {recipe.id} on {board.name} listens to {wanted.name}: {len(heard)} steps")
        np.save(folder / "scores.npy", board.stream(artifact, heard, run.say), allow_pickle=False)

    entry = run.cache.entry("scores", digest(artifact.key, board.identity(), key), make)
    found: Scores = np.load(entry.path / "scores.npy", allow_pickle=False)
    return found


def whole(run: Run, candidate: Candidate, wanted: Stream) -> Scores:
    """One score a step of the float model over the whole stream at once, from silence."""
    if candidate.whole is None:
        raise Unsupported(
            f"{candidate.name} names no float model over whole sequences to hold its streaming to; export one and add "
            'whole = "whole.onnx" to model.toml (docs/streaming.md).'
        )
    model = candidate.whole
    key, heard = run.heard_stream(candidate, wanted)

    def make(folder: Path) -> None:
        run.say(f"{candidate.name} over the whole of {wanted.name} at once: {len(heard)} steps")
        np.save(folder / "scores.npy", whole_scores(model, heard), allow_pickle=False)

    entry = run.cache.entry("scores", digest("whole", model, key), make)
    found: Scores = np.load(entry.path / "scores.npy", allow_pickle=False)
    return found


def trace(run: Run, candidate: Candidate, recipe: Recipe, wanted: Stream) -> Trace:
    """What the build said, with what was to be heard."""
    stream, front = run.stream(candidate, wanted), candidate.frontend
    said = run.scores(candidate, recipe, wanted)
    first_s = front.step_s + front.overlap / front.sample_rate
    return Trace(said, front.step_s, stream.seconds, stream.truth, stream.word, stream.real, first_s, wanted.name)


def listenings(run: Run, candidate: Candidate, recipe: Recipe) -> dict[bool, Listening]:
    """Streams of recordings (True) and of synthetic speech (False) apart; those that cannot be had are left out."""
    found = [trace(run, candidate, recipe, wanted) for wanted in present(run, candidate, recipe)]
    refractory_s = head(candidate).refractory_s
    return {real: Listening(same, refractory_s) for real, same in kinds(found).items()}


def present(run: Run, candidate: Candidate, recipe: Recipe) -> list[Stream]:
    """The streams of a build that can be had here. Raises Unsupported where there is none."""
    found, lacks = [], []
    for wanted in streams_of(candidate, recipe):
        try:
            run.stream(candidate, wanted)
            found.append(wanted)
        except Unsupported as lack:
            lacks.append(f"stream {wanted.name}: {lack}")
    if not found:
        raise Unsupported(f"{candidate.name} {recipe.id} has nothing to listen to: {' '.join(lacks) or 'no stream'}")
    for text in lacks:
        run.say(f"{candidate.name} {recipe.id} listens to less: {text}")
    return found


def probe(run: Run, candidate: Candidate, recipe: Recipe) -> Probe:
    """The same piece of a stream by itself, behind another piece after a reset, and behind it without."""
    artifact, board = run.artifact(candidate, recipe), run.board(candidate, recipe)
    wanted = present(run, candidate, recipe)[0]
    _, heard = run.heard_stream(candidate, wanted)
    length = min(round(PROBE_S / candidate.frontend.step_s), len(heard) // 2)
    before, piece = heard[:length], heard[length : 2 * length]
    both = np.concatenate([before, piece])
    fresh = board.stream(artifact, np.array(piece), run.say)
    again = board.stream(artifact, both, run.say, (0, length))[length:]
    return Probe(fresh, again, board.stream(artifact, both, run.say)[length:])
