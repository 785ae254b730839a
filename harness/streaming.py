"""What a wake word build says while it listens: streams, their features, and score traces, each on disk at once.

Three traces of one stream are held together: the build's, the float step's, and that of the float model over whole
sequences, which has no state to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness import golden_stream as golden_scores
from harness.audio import laying, streams
from harness.audio.checks import require_audio
from harness.audio.corpus import UNGROUPED, load_corpus
from harness.audio.listening import steps
from harness.boards.whole import whole_scores
from harness.cache import digest
from harness.candidate import Candidate, Stream, WakewordHead
from harness.errors import CandidateError, GoldenError, ToolchainError, Unsupported, nearest
from harness.golden_stream import AGAIN, StreamGolden
from harness.recipe import FLOAT, Recipe
from harness.score.drift import Pair
from harness.score.slices import Slice, margins
from harness.score.wakeword import Listening, Point, Trace
from harness.targets.base import Artifact, Board, Features, Scores
from harness.targets.registry import registry

if TYPE_CHECKING:
    from harness.run import Run

CHUNK_S = 10.0
PROBE_S = 40.0  # heard anew after a reset


@dataclass(frozen=True, slots=True)
class Probe:
    """One piece of a stream ``(steps,)``: by itself, behind another after a reset, and behind it without one."""

    fresh: Scores
    again: Scores
    kept: Scores


@dataclass(frozen=True, slots=True)
class Released:
    """Golden scores and those of now, their events at the candidate's threshold, and what was written, in words."""

    stored: StreamGolden
    fresh: StreamGolden
    before: Point
    now: Point
    written: str


def head(candidate: Candidate) -> WakewordHead:
    if not isinstance(candidate.head, WakewordHead):
        raise CandidateError(f'{candidate.name} is no streaming candidate: its task is "{candidate.task}".')
    return candidate.head


def streams_of(candidate: Candidate, recipe: Recipe) -> list[Stream]:
    """The streams that builds for the recipe's target hear, in the order of model.toml."""
    return [stream for stream in candidate.streams if stream.heard_by(recipe.target)]


def planned(run: Run, candidate: Candidate, wanted: Stream) -> streams.Stream:
    """The stream as planned from its corpora. Raises Unsupported where one is not here."""
    spoken = []
    for name in wanted.corpora:
        try:
            corpus = load_corpus(name, candidate.house, run.data)
            require_audio(corpus, run.cache)
        except Unsupported as lack:  # the same hours would hold less speech: easier ones, that look the same
            raise Unsupported(
                f"{candidate.name}: the stream {wanted.name} cannot be laid as declared. {lack}"
            ) from lack
        only = name in wanted.word_from
        spoken += [each for each in laying.sources(corpus) if not only or each.clip.label == candidate.labels[0]]
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
    key = digest("stream", stream.digest, front.model_dump(), front.made_by)

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
        said = run.engine.stream(board, artifact, heard, run.say)
        np.save(folder / "scores.npy", every_step(said, heard, artifact, board), allow_pickle=False)

    entry = run.cache.entry("scores", digest(artifact.key, board.identity(), key), make)
    found: Scores = np.load(entry.path / "scores.npy", allow_pickle=False)
    return found


def every_step(said: Scores, heard: Features, artifact: Artifact, board: Board) -> Scores:
    """``said``, one score ``(steps,)`` for each of ``heard``. Raises ToolchainError where there are more or fewer."""
    if said.shape != (len(heard),):
        raise ToolchainError(
            f"{artifact.candidate} on {artifact.recipe.id}: {board.name} gave {list(said.shape)} scores of "
            f"{len(heard)} steps: from the first that is lost on, each would be taken for another's. Mend what passes "
            "steps to the model and scores back, and run again."
        )
    return said


def whole(run: Run, candidate: Candidate, recipe: Recipe) -> Pair:
    """Float streaming, and the float model over the whole of the longest stream at once. Raises Unsupported."""
    if candidate.whole is None:
        raise Unsupported(
            f"{candidate.name} names no float model over whole sequences to hold its streaming to; export one and add "
            'whole = "whole.onnx" to model.toml (docs/streaming.md).'
        )
    model, wanted = candidate.whole, longest(candidate, recipe, run)
    key, heard = run.heard_stream(candidate, wanted)

    def make(folder: Path) -> None:
        run.say(f"{candidate.name} over the whole of {wanted.name} at once: {len(heard)} steps")
        np.save(folder / "scores.npy", whole_scores(model, heard), allow_pickle=False)

    entry = run.cache.entry("scores", digest("whole", model, key), make)
    at_once: Scores = np.load(entry.path / "scores.npy", allow_pickle=False)
    return Pair(run.scores(candidate, FLOAT, wanted)[: len(at_once)], at_once, candidate.frontend.step_s, wanted.name)


def own_path(run: Run, candidate: Candidate, recipe: Recipe) -> Pair:
    """Float streaming, and that of the recipe's own float path, on the shortest stream."""
    wanted = golden_stream(candidate)
    own = registry()[recipe.target].float_recipe(recipe)
    plain, tested = run.scores(candidate, FLOAT, wanted), run.scores(candidate, own, wanted)
    return Pair(plain, tested, candidate.frontend.step_s, wanted.name)


def trace(run: Run, candidate: Candidate, recipe: Recipe, wanted: Stream) -> Trace:
    """What the build said, with what was to be heard."""
    return traced(candidate, run.stream(candidate, wanted), run.scores(candidate, recipe, wanted), wanted.name)


def traced(candidate: Candidate, stream: streams.Stream, scores: Scores, name: str) -> Trace:
    """Scores of a stream, averaged as the candidate asks, with what was to be heard."""
    front, steps = candidate.frontend, head(candidate).average
    first_s = front.step_s + front.overlap / front.sample_rate
    said = averaged(scores, steps)
    return Trace(said, front.step_s, stream.seconds, stream.truth, stream.word, stream.real, first_s, name, steps)


def averaged(said: Scores, steps: int) -> Scores:
    """The mean of each score and those before it, ``steps`` in all; nothing was said before the first."""
    total = np.cumsum(np.pad(said.astype(np.float64), (steps, 0)))
    return np.asarray((total[steps:] - total[:-steps]) / steps, np.float32)


def listening(run: Run, candidate: Candidate, recipe: Recipe, name: str) -> tuple[Listening, Point]:
    """What the build said of one stream, and its events at the candidate's threshold."""
    one = head(candidate)
    need_one_of_a_kind(run, candidate, recipe, named(candidate, name))
    heard = Listening((trace(run, candidate, recipe, named(candidate, name)),), one.refractory_s)
    point = heard.at(one.threshold)
    run.write(f"{candidate.name}/{recipe.id}/det-{name}", {heard.kind: heard.tradeoff(point)})
    return heard, point


def need_one_of_a_kind(run: Run, candidate: Candidate, recipe: Recipe, wanted: Stream) -> None:
    """Raise CandidateError where a build hears two streams of one kind: their figures go by one name."""
    real = run.stream(candidate, wanted).real
    for other in streams_of(candidate, recipe):
        if other.name == wanted.name:
            continue
        with suppress(Unsupported):  # its corpus is not here, so no figure is either
            if run.stream(candidate, other).real == real:
                kind = "recordings" if real else "synthetic speech"
                raise CandidateError(
                    f"{candidate.name}: builds for {recipe.target} hear two streams of {kind}, {wanted.name} and "
                    f"{other.name}, whose figures could not be told apart; make one of them, or give each its targets."
                )


def named(candidate: Candidate, name: str) -> Stream:
    known = {stream.name: stream for stream in candidate.streams}
    if name not in known:
        raise CandidateError(
            f"{candidate.name} has no stream {name!r}{nearest(name, known)}; it has {', '.join(known)}."
        )
    return known[name]


def golden_stream(candidate: Candidate) -> Stream:
    """The stream that golden scores are kept of: the shortest."""
    return min(candidate.streams, key=lambda stream: stream.hours)


def golden_build(candidate: Candidate) -> Recipe:
    """What makes golden scores: the float step, or an imported model as it came."""
    return candidate.recipes[0] if candidate.imported else FLOAT


def golden(run: Run, candidate: Candidate) -> Released:
    """Checked golden scores, and what is said now. Raises GoldenError where they cannot judge."""
    wanted = golden_stream(candidate)
    stream = run.stream(candidate, wanted)
    fresh = StreamGolden(
        candidate.name,
        wanted.name,
        stream.digest,
        digest(candidate.model),
        digest(candidate.frontend.model_dump()),
        run.scores(candidate, golden_build(candidate), wanted),
    )
    path = fresh.file(candidate.house)
    stored, changed = golden_scores.settle(path, fresh, run.golden_mode)
    reason = golden_scores.faults(stored, fresh, candidate.imported)
    if reason:
        raise GoldenError(
            f"golden of {candidate.name} cannot judge it: {path.name}: {reason}. If this is meant, {AGAIN}"
        )
    heard = trace(run, candidate, golden_build(candidate), wanted)
    one = head(candidate)

    def points(scores: Scores) -> Point:
        said = replace(heard, scores=averaged(scores, one.average))
        return Listening((said,), one.refractory_s).at(one.threshold)

    return Released(stored, fresh, points(stored.scores), points(fresh.scores), changed)


def longest(candidate: Candidate, recipe: Recipe, run: Run) -> Stream:
    """The longest stream of a build that can be had here: on it the state is judged. Raises Unsupported."""
    lacks = []
    for wanted in sorted(streams_of(candidate, recipe), key=lambda stream: -stream.hours):
        try:
            run.stream(candidate, wanted)
            return wanted
        except Unsupported as lack:
            lacks.append(f"stream {wanted.name}: {lack}")
    raise Unsupported(f"{candidate.name} {recipe.id} has nothing to listen to: {' '.join(lacks) or 'no stream'}")


def against(run: Run, candidate: Candidate, recipe: Recipe) -> Pair:
    """Float streaming, and that of the build, over the longest stream that is here. Raises Unsupported."""
    wanted = longest(candidate, recipe, run)
    plain, tested = run.scores(candidate, FLOAT, wanted), run.scores(candidate, recipe, wanted)
    return Pair(plain, tested, candidate.frontend.step_s, wanted.name)


def parts(run: Run, candidate: Candidate, heard: Listening) -> list[Slice]:
    """Margins of the words in a stream: overall, accents and their groups, ambiences."""
    groups = run.corpus(candidate).groups
    words = [word for each in heard.traces for word in each.words]
    accents = {word.accent: groups.get(word.accent, UNGROUPED) for word in words}
    return margins(accents, candidate.head.unseen_accents, sorted({word.condition for word in words}))


def probe(run: Run, candidate: Candidate, recipe: Recipe) -> Probe:
    """The same piece of a stream by itself, behind another piece after a reset, and behind it without."""
    artifact, board = run.artifact(candidate, recipe), run.board(candidate, recipe)
    _, heard = run.heard_stream(candidate, longest(candidate, recipe, run))
    length = min(round(PROBE_S / candidate.frontend.step_s), len(heard) // 2)
    before, piece = heard[:length], heard[length : 2 * length]
    both = np.concatenate([before, piece])
    fresh = _said(run, board, artifact, np.array(piece))
    again = _said(run, board, artifact, both, (0, length))[length:]
    return Probe(fresh, again, _said(run, board, artifact, both)[length:])


def _said(run: Run, board: Board, artifact: Artifact, heard: Features, starts: Sequence[int] = (0,)) -> Scores:
    return every_step(board.stream(artifact, heard, run.say, starts), heard, artifact, board)
