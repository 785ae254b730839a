"""Who asks: an engine whose stages are tasks of a Dask scheduler.

A worker that dies costs what it was at: Dask gives its tasks to another. No worker at all, or no scheduler, ends the
wait after a while, with one error for all that is asked afterwards.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn
from uuid import uuid4

import numpy as np
from distributed import Client, Future
from distributed.scheduler import KilledWorker

from harness.audio import pool
from harness.audio.clip import Clip
from harness.audio.conditions import SKETCH, Condition, Rendered, write_parts
from harness.audio.corpus import Corpus
from harness.build import load
from harness.cache import Cache
from harness.candidate import Candidate
from harness.cluster import tasks
from harness.cluster.make import make
from harness.cluster.parcel import pack_candidate, pack_whole, unpack
from harness.engine import Engine
from harness.errors import CorpusError, InfraError, VoxgateError
from harness.score.command import Decoded
from harness.score.ctc import Decoder
from harness.targets.base import Artifact, Board, Evidence, Features, Job, Logits, Progress, Scores, Target
from harness.targets.registry import registry

GRACE_S = 60.0  # without any worker, while something is asked for
PATIENCE_S = 4 * 3600.0  # for one task, its wait for a worker included
LOOK_S = 1.0
ANSWER_S = 10.0  # for the scheduler to say who is there
FETCH_S = 600.0  # for one answer to come over
CLIPS = 50  # of one task: about 2 MB of audio each way
NAMED = 8  # workers, where they are listed
AHEAD = 4  # such tasks in hand for each worker
ROWS = 512  # outputs decoded by one task: whole batches of the decoder
WINDOWS = pool.ENOUGH - 1  # run by one task, where a board takes a part at a time: by no helpers of the worker
PART_BYTES = 32 << 20  # of features in such a task
MOST_BYTES = 1 << 30  # of features in one task; more stays here

WITHOUT = "What is finished is kept: start workers and run again, or run without --scheduler."


class Cluster(Engine):
    """The workers behind one scheduler. ``provision``: whether they may install a toolchain that a build needs."""

    def __init__(self, client: Client, *, provision: bool) -> None:
        self.client = client
        self.provision = provision
        self.done: Counter[tuple[str, str]] = Counter()  # tasks by worker and stage
        self._counting = Lock()
        self._lost = ""  # why nothing more is asked for

    def render(
        self, folder: Path, corpus: Corpus, condition: Condition, samples: int, cache: Cache, say: Progress
    ) -> None:
        write_parts(folder, corpus, condition, samples, self._rendered(corpus, condition, samples), say)

    def build(self, target: Target, candidate: Candidate, job: Job) -> Artifact:
        request = (pack_candidate(candidate), job.recipe, job.calibration, job.key, self.provision)
        found = self._answer(self._ask("build", *request), f"the build of {candidate.name} for {job.recipe.id}")
        unpack(found, job.folder)
        return load(job.folder)

    def run(self, board: Board, artifact: Artifact, features: Features, say: Progress) -> Logits:
        rows = min(WINDOWS, max(1, PART_BYTES // max(1, features[:1].nbytes))) if board.piecewise else len(features)
        if not _sendable(board, artifact, features[:rows]):
            return super().run(board, artifact, features, say)
        sent = pack_whole(artifact.file.parent)
        requests = ((sent, board.name, np.array(part)) for part in _parts(features, rows))
        found = self._spread("run", f"{artifact.candidate} {artifact.recipe.id} on {board.name}", requests)
        return np.concatenate(list(found))

    def stream(self, board: Board, artifact: Artifact, features: Features, say: Progress) -> Scores:
        if not _sendable(board, artifact, features):
            return super().stream(board, artifact, features, say)
        asked = self._ask("stream", pack_whole(artifact.file.parent), board.name, np.array(features))
        scores: Scores = self._answer(asked, f"{artifact.candidate} {artifact.recipe.id} listening")
        return scores

    def score(self, decoder: Decoder, said: Sequence[str], outputs: Logits) -> Decoded:
        rows = zip(_parts(said, ROWS), _parts(outputs, ROWS), strict=True)
        requests = ((decoder, list(texts), np.array(part)) for texts, part in rows)
        parts: list[Decoded] = list(self._spread("score", "decoding", requests))
        return Decoded(
            np.concatenate([part.command for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.word_errors for part in parts]),
            np.concatenate([part.letter_errors for part in parts]),
        )

    def __str__(self) -> str:
        names = sorted(str(worker["name"]) for worker in self.client.scheduler_info()["workers"].values())
        more = ", ..." if len(names) > NAMED else ""
        return f"{len(names)} worker{'s' if len(names) > 1 else ''} ({', '.join(names[:NAMED])}{more})"

    @property
    def told(self) -> str:
        """Tasks done by each worker, in words."""
        found = ((worker, sum(stages.values())) for worker, stages in self.record().items())
        return ", ".join(f"{count} tasks by {worker}" for worker, count in found) or "nothing: all of it was kept"

    def record(self) -> dict[str, dict[str, int]]:
        """Tasks done, by worker and stage."""
        found: dict[str, dict[str, int]] = {}
        for (worker, stage), count in sorted(self.done.items()):
            found.setdefault(worker, {})[stage] = count
        return found

    def close(self) -> None:
        self.client.close(timeout=LOOK_S)

    def _rendered(self, corpus: Corpus, condition: Condition, samples: int) -> Iterator[Rendered]:
        subject, clips = f"{corpus.name}, {condition.id}", corpus.clips
        requests = (
            ([_sound(clip, place) for place, clip in enumerate(some)], condition, samples, corpus.sample_rate)
            for some in _parts(clips, CLIPS)
        )
        for number, answer in enumerate(self._spread("render", subject, requests)):
            audio, levels, sketch = answer
            count = len(clips[number * CLIPS :][:CLIPS])
            if (len(audio), len(levels), len(sketch)) != (2 * count * samples, 4 * count, 4 * count * SKETCH):
                raise InfraError(f"{subject}: a worker's answer is not {count} clips of {samples} samples. {WITHOUT}")
            yield answer

    def _ask(self, stage: str, *request: Any) -> Future:
        if self._lost:
            raise InfraError(self._lost)
        key = f"voxgate-{stage}-{uuid4().hex}"  # Dask keeps a result for as long as a future of its key is held
        return self.client.submit(tasks.do, make(), stage, request, key=key, pure=False)

    def _spread(self, stage: str, subject: str, requests: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Answers in the order of the requests, a few of which are in hand for each worker."""
        most, waiting = AHEAD * max(1, self._workers()), deque[Future]()
        for request in requests:
            waiting.append(self._ask(stage, *request))
            if len(waiting) > most:
                yield self._answer(waiting.popleft(), subject)
        while waiting:
            yield self._answer(waiting.popleft(), subject)

    def _answer(self, asked: Future, subject: str) -> Any:
        """What a task gave. Raises what it raised; InfraError where it cannot be done any more."""
        begun = seen = time.monotonic()
        while True:
            try:
                error = asked.exception(timeout=LOOK_S)
                if error is None:  # where its worker is lost by now, it is done anew
                    worker, value = asked.result(timeout=FETCH_S)
                    with self._counting:
                        self.done[worker, asked.key.split("-")[1]] += 1
                    return value
            except TimeoutError:
                now = time.monotonic()
                seen = now if self._workers() else seen
                if now - seen > GRACE_S:
                    self._lose(f"{self._address} has had no worker for {GRACE_S:.0f} s, and {subject} waits.")
                if now - begun > PATIENCE_S:
                    self._lose(f"{subject} is not done by the workers of {self._address} after {PATIENCE_S:.0f} s.")
                continue
            except Exception as raised:
                error = raised
            raise self._told(error, asked, subject)

    def _told(self, error: BaseException, asked: Future, subject: str) -> VoxgateError:
        """The error of a task that is not done, as one that a person can act on."""
        if isinstance(error, VoxgateError):
            return error
        if isinstance(error, KilledWorker):
            return InfraError(
                f"{subject}: {error.allowed_failures + 1} workers died of it, one after another (out of memory?); look "
                f"at their logs. {WITHOUT}"
            )
        if asked.status != "error":
            self._lose(f"the scheduler {self._address} is lost, and with it {subject}.")
        return InfraError(f"{subject}: failed on a worker: {type(error).__name__}: {error}. {WITHOUT}")

    def _workers(self) -> int:
        """How many there are now; 0 where the scheduler does not say."""
        try:
            return len(self.client.sync(self.client.scheduler.ncores, callback_timeout=ANSWER_S))
        except (OSError, ValueError):
            return 0

    def _lose(self, why: str) -> NoReturn:
        self._lost = self._lost or f"{why} {WITHOUT}"
        raise InfraError(self._lost)

    @property
    def _address(self) -> str:
        return str(self.client.scheduler.address)


def _parts(whole: Any, size: int) -> Iterator[Any]:
    return (whole[first : first + size] for first in range(0, len(whole), size))


def _sound(clip: Clip, place: int) -> tasks.Sound:
    try:
        content = clip.path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"clip {clip.id!r}: {clip.path} cannot be read: {error.strerror or error}. Restore it, or drop its row."
        ) from error
    return tasks.Sound(clip.id, f"{place}{clip.path.suffix}", content, clip.resample, clip.mixed)


def _sendable(board: Board, artifact: Artifact, features: Features) -> bool:
    """Whether a worker has such a board of its own: no silicon, and none of a lab."""
    own = registry()[artifact.recipe.target].board(artifact.recipe)
    same = type(board) is type(own) and board.name == own.name and board.evidence is not Evidence.BOARD
    return same and 0 < features.nbytes <= MOST_BYTES
