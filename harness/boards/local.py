"""The host as a board: artifacts of the host target run in this process, on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import get_ident

import numpy as np

from harness.agent.runtimes import SUFFIXES
from harness.audio import pool
from harness.audio.frontend import Audio, FrontEnd
from harness.boards import own, rss
from harness.boards.runtimes import open_model, open_step
from harness.cache import let_go
from harness.errors import NotMeasured, ToolchainError
from harness.targets.base import Artifact, Board, Evidence, Features, Infer, Logits, Progress, Scores
from harness.targets.told import OwnTime

EVERY = 2000  # windows between two lines of progress
EVERY_STEP = 50_000


class LocalBoard(Board):
    name = "host"
    evidence = Evidence.HOST
    piecewise = True  # so that one condition at a time is in memory

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``.

        Raises ToolchainError where a feature is not finite, or the artifact does not load or run.
        """
        require_finite(artifact, features)
        file = str(artifact.file)
        open_model(artifact.file)  # raises here what no part could open
        outputs, done = [np.zeros((0, 0), np.float32)][: not len(features)], 0
        for size, part in pool.over(logits_part, ((file, rows) for rows in pool.rows(features)), len(features)):
            outputs.append(np.frombuffer(part, np.float32).reshape(size, -1))
            done += size
            if done % EVERY < size:
                say(f"{artifact.candidate} {artifact.recipe.id}: {done} of {len(features)} windows run")
        return np.concatenate(outputs)

    def features(self, frontend: FrontEnd, audio: Audio) -> Features:
        return frontend.batch(audio)

    def stream(self, artifact: Artifact, features: Features, say: Progress, starts: Sequence[int] = (0,)) -> Scores:
        """Raises ToolchainError where a feature is not finite, or the artifact is no such step."""
        require_finite(artifact, features)
        step = open_step(artifact.file, artifact.states)
        first, scores = set(starts), np.zeros(len(features), np.float32)
        for i, window in enumerate(features):
            if i in first:
                step.reset()
            scores[i] = step(window)
            if i % EVERY_STEP == EVERY_STEP - 1:
                say(f"{artifact.candidate} {artifact.recipe.id}: {i + 1} of {len(features)} steps heard")
        return scores

    def open(self, artifact: Artifact) -> Infer:
        """One inference: an int8 input is quantized and an int8 output dequantized within it."""
        if not artifact.states:
            return open_model(artifact.file)
        step = open_step(artifact.file, artifact.states)
        return lambda window: np.array([step(window)], np.float32)

    def own_time(self, artifact: Artifact, window: Features) -> OwnTime:
        return own.measure(artifact, SUFFIXES[artifact.file.suffix])

    def rss(self, artifact: Artifact, window: Features) -> int:
        if artifact.states:
            raise NotMeasured(
                f"rss of {artifact.candidate} on {artifact.recipe.id}: not measured: a process of its own is asked for "
                "models of windows only; remove rss_mib, or take the resident memory of your own program."
            )
        return rss.measure(artifact, window)


class InPlace(LocalBoard):
    """This host in place of a board that is not here: the outputs of its arithmetic, none of its time and memory."""

    open = Board.open
    own_time = Board.own_time
    rss = Board.rss


def logits_part(request: tuple[str, pool.Rows]) -> tuple[int, bytes]:
    """How many windows, and their float32 logits: builtin values, for whatever process does it."""
    file, rows = request
    infer = _opened(file, Path(file).stat().st_mtime_ns, get_ident())
    windows = pool.taken(rows)
    return len(windows), np.stack([infer(window) for window in windows]).astype(np.float32).tobytes()


@lru_cache(maxsize=2)
def _opened(file: str, changed: int, thread: int) -> Infer:
    """Opened anew for another file of the same name, and for another thread: an opened model has its own buffers."""
    del changed, thread
    return open_model(Path(file))


def require_finite(artifact: Artifact, features: Features) -> None:
    """Raise ToolchainError where a feature is NaN or infinite: a quantized model would hide it."""
    axes = tuple(range(1, features.ndim))
    found = []
    for first in range(0, len(features), EVERY):
        found.append(np.isfinite(features[first : first + EVERY]).all(axis=axes))
        let_go(features)
    bad = np.flatnonzero(~np.concatenate(found or [np.ones(0, bool)]))
    if len(bad):
        raise ToolchainError(
            f"{artifact.candidate} on {artifact.recipe.id}: {len(bad)} of {len(features)} feature windows hold "
            f"NaN or infinity (first: window {int(bad[0])}). Check the clips and the [frontend] of its model.toml."
        )
