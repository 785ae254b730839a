"""Who does the stages that need no board: this machine here; a subclass may have others do them, to the same values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.audio.conditions import Condition, render_into
from harness.audio.corpus import Corpus
from harness.build import here
from harness.cache import Cache
from harness.candidate import Candidate
from harness.score.command import Decoded, decoded
from harness.score.ctc import Decoder
from harness.targets.base import Artifact, Board, Features, Job, Logits, Progress, Scores, Target


class Engine:
    """Each stage from values to values; what is made is kept by whoever asks. Nothing here is timed."""

    def render(
        self, folder: Path, corpus: Corpus, condition: Condition, samples: int, cache: Cache, say: Progress
    ) -> None:
        """Every clip under one condition, as :func:`render_into` leaves it in a folder. ``cache`` keeps rooms."""
        render_into(folder, corpus, condition, samples, cache, say)

    def build(self, target: Target, candidate: Candidate, job: Job) -> Artifact:
        """The artifact in the folder of the job."""
        return here(target, candidate, job)

    def run(self, board: Board, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Outputs ``(n, labels)`` of windows ``(n, frames, bins)``, as :meth:`Board.run` gives them."""
        return board.run(artifact, features, say)

    def stream(self, board: Board, artifact: Artifact, features: Features, say: Progress) -> Scores:
        """Scores ``(steps,)`` of one stream ``(steps, frames, bins)``, as :meth:`Board.stream` gives them."""
        return board.stream(artifact, features, say)

    def score(self, decoder: Decoder, said: Sequence[str], outputs: Logits) -> Decoded:
        """What outputs of a command model ``(n, frames * tokens)`` say, where ``said`` was said."""
        return decoded(decoder, said, outputs)

    def close(self) -> None:
        """No more is asked for."""
