"""Running a pipeline: the stream, the trigger over all of it, the recognizer where it fires, and what both cost.

Acts are what the built artifacts do on their board; times are taken on this host, where the board is this host.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness import streaming
from harness.audio import laying, streams
from harness.audio.checks import require_audio
from harness.audio.corpus import load_corpus
from harness.boards import together as weighing
from harness.candidate import Candidate
from harness.errors import NotMeasured
from harness.pipeline import Couple, Pipeline
from harness.score.pipeline import Act, Session, lived
from harness.score.wakeword import detections
from harness.targets.base import Evidence, Features, Logits

if TYPE_CHECKING:
    from harness.run import Run

WARM = 5  # rounds before any that counts

Read = Callable[[Logits], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Responses:
    """Milliseconds ``(n,)`` from the end of speech to the result, and their parts; ``load`` is the trigger's share.

    ``wait`` is until the window is full and its last chunk delivered, ``front``, ``model`` and ``decode`` are the
    recognizer's, ``trigger`` what the trigger still has to do with the last chunk.
    """

    total: npt.NDArray[np.float64]
    parts: dict[str, npt.NDArray[np.float64]]
    load: float  # of real time, of the trigger alone: at 1 it no longer keeps up


def planned(run: Run, pipeline: Pipeline) -> streams.Stream:
    """The stream as declared. Raises Unsupported where a corpus is not here."""
    trigger, command, said = pipeline.trigger, pipeline.command, pipeline.said
    spoken = []
    for name in dict.fromkeys((trigger.head.corpus, *said.corpora)):
        corpus = load_corpus(name, pipeline.house, run.data)
        require_audio(corpus, run.cache)
        spoken += laying.sources(corpus)
    told = set(command.labels) - set(command.background)
    phrases = [
        each for each in laying.sources(run.corpus(command)) if command.task == "command" or each.clip.label in told
    ]
    return laying.lay(
        trigger.labels[0],
        spoken,
        hours=said.hours,
        words=said.utterances,
        seed=said.seed,
        sample_rate=trigger.frontend.sample_rate,
        ambiences=said.places,
        cache=run.cache,
        then=phrases,
        pause_s=said.pause_s,
    )


def session(run: Run, pipeline: Pipeline, pair: Couple) -> Session:
    """The stream lived through by one build; its acts are on disk. Raises Unsupported, ToolchainError."""
    stream = stream_of(run, pipeline, pair)
    acts = _acts(run, pipeline, pair, stream)
    found = lived(stream.truth, stream.word, acts, stream.seconds)
    record = {"hours": found.hours, "utterances": [asdict(each) for each in found.utterances]}
    run.write(f"{pipeline.name}/{pair.id}/session", record | {"stray": [asdict(each) for each in found.stray]})
    return found


def stream_of(run: Run, pipeline: Pipeline, pair: Couple) -> streams.Stream:
    whole = run.pipeline_stream(pipeline)
    return whole.first(pair.hours) if pair.hours else whole


def _acts(run: Run, pipeline: Pipeline, pair: Couple, stream: streams.Stream) -> list[Act]:
    trigger, command = pipeline.trigger, pipeline.command
    recipe, other = pipeline.recipes(pair)
    _, heard = streaming.features(run, trigger, stream, pipeline.name)
    artifact, board = run.artifact(trigger, recipe), run.board(trigger, recipe)
    run.say(f"{pipeline.name} {pair.id}: {trigger.name} on {board.name} listens to {stream.hours:.2f} h")
    scores = streaming.every_step(board.stream(artifact, heard, run.say), heard, artifact, board)
    trace, head = streaming.traced(trigger, stream, scores, pipeline.name), streaming.head(trigger)
    window_s = command.frontend.window_s
    # While a command is listened for, the trigger is not.
    fired = detections(trace, head.threshold, max(head.refractory_s, window_s - pipeline.head.before_s))
    windows = command.frontend.batch(_windows(pipeline, stream, fired))
    read = reader(run, command)
    texts = [read(output) for output in run.infer(command, other, windows)] if len(windows) else []
    until = fired - pipeline.head.before_s + window_s
    return [
        Act(float(at), float(end), *said, since_s=float(end) - window_s)
        for at, end, said in zip(fired, until, texts, strict=True)
    ]


def _windows(pipeline: Pipeline, stream: streams.Stream, fired: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    return stream.excerpts((fired - pipeline.head.before_s).tolist(), pipeline.command.frontend.samples)


def reader(run: Run, command: Candidate) -> Read:
    """From one window's output to the command understood, empty for none, and what was written without a grammar."""
    if command.task == "keyword":

        def label(output: Logits) -> tuple[str, str]:
            found = command.labels[int(np.argmax(output))]
            text = "" if found in command.background else found
            return text, text

        return label

    def sentence(output: Logits) -> tuple[str, str]:
        heard = run.decoder(command).hear(output)
        return heard.text, heard.spelled

    return sentence


def responses(run: Run, pipeline: Pipeline, pair: Couple) -> Responses:
    """Time to the result of every utterance that was acted on, as this host computes it. Raises NotMeasured."""
    recipe, other = pipeline.recipes(pair)
    boards = run.board(pipeline.trigger, recipe), run.board(pipeline.command, other)
    if any(board.evidence is not Evidence.HOST for board in boards):
        raise NotMeasured(
            f"response of {pipeline.name} on {pair.id}: not measured: trigger and recognizer are timed together on the "
            f"host only, so far; {boards[0].name} is reached one model at a time."
        )
    stream, found = stream_of(run, pipeline, pair), run.session(pipeline, pair)
    # A window that ends before the command does has no result after it: no fast one.
    acts = [each for each in found.utterances if each.act is not None and each.act.until_s >= each.said.end_s]
    if not acts:
        raise NotMeasured(
            f"response of {pipeline.name} on {pair.id}: no utterance woke it and was heard to its end, so nothing was "
            "timed."
        )
    begins = [each.act.until_s - pipeline.command.frontend.window_s for each in acts if each.act]
    audio = stream.excerpts(begins, pipeline.command.frontend.samples)
    spent = _spent(run, pipeline, pair, audio)
    chunk_s = pipeline.head.chunk_ms / 1000
    wait = np.array(
        [math.ceil(each.act.until_s / chunk_s - 1e-9) * chunk_s - each.said.end_s for each in acts if each.act]
    )
    parts = {"wait": 1000 * wait, **{name: np.array([row[name] for row in spent]) for name in spent[0]}}
    load = float(np.median(parts["trigger"])) / (1000 * pipeline.trigger.frontend.step_s)
    total = np.sum(list(parts.values()), axis=0)
    record = {name: values.tolist() for name, values in parts.items()}
    run.write(f"{pipeline.name}/{pair.id}/responses", {"ms": {"total": total.tolist(), **record}, "load": load})
    return Responses(total, parts, load)


def _spent(run: Run, pipeline: Pipeline, pair: Couple, audio: npt.NDArray[np.int16]) -> list[dict[str, float]]:
    """Milliseconds of each stage for each window: the trigger's last step, then the recognizer's three."""
    from harness.boards.runtimes import open_model, open_step

    recipe, other = pipeline.recipes(pair)
    first, second = run.artifact(pipeline.trigger, recipe), run.artifact(pipeline.command, other)
    step, infer = open_step(first.file, first.states), open_model(second.file)
    read, front, own = reader(run, pipeline.command), pipeline.command.frontend, pipeline.trigger.frontend
    found = []
    for index in range(-WARM, len(audio)):
        window = audio[max(0, index)]
        marks = [time.perf_counter_ns()]
        step(own.features(window[-own.samples :]))
        marks.append(time.perf_counter_ns())
        features: Features = front.features(window)
        marks.append(time.perf_counter_ns())
        output = infer(features)
        marks.append(time.perf_counter_ns())
        read(output)
        marks.append(time.perf_counter_ns())
        if index >= 0:
            found.append(dict(zip(("trigger", "front", "model", "decode"), np.diff(marks) / 1e6, strict=True)))
    return found


def memory(run: Run, pipeline: Pipeline, pair: Couple) -> int:
    """Bytes of resident memory that both artifacts take in one process of this host. Raises NotMeasured."""
    recipe, other = pipeline.recipes(pair)
    board = run.board(pipeline.trigger, recipe)
    if board.evidence is not Evidence.HOST:
        raise NotMeasured(
            f"memory of {pipeline.name} on {pair.id}: not measured: needs a process with both models, which "
            f"{board.name} does not give."
        )
    command = pipeline.command.frontend
    own = pipeline.trigger.frontend
    shapes = (own.frames, own.bins), (command.frames, command.bins)
    artifacts = run.artifact(pipeline.trigger, recipe), run.artifact(pipeline.command, other)
    return weighing.measure(f"{pipeline.name} on {pair.id}", artifacts, shapes)
