"""Which streams a build may hear."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from harness.candidate import Candidate, Stream
from harness.errors import CandidateError, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.run import Run
from harness.streaming import every_step, need_one_of_a_kind
from harness.targets.base import Artifact, Board

TALK = Stream(name="talk", corpora=("spoken",), hours=1, words=1)
MORE = Stream(name="more", corpora=("spoken",), hours=1, words=1)
RECORDED = Stream(name="recorded", corpora=("taped",), hours=1, words=1)
INT8 = Recipe(target="host", name="int8", precision="int8")


def heard(*streams: Stream, absent: tuple[str, ...] = ()) -> None:
    def stream(_: object, wanted: Stream) -> SimpleNamespace:
        if wanted.name in absent:
            raise Unsupported("its corpus is not here")
        return SimpleNamespace(real=wanted.corpora == ("taped",))

    candidate = cast(Candidate, SimpleNamespace(name="own", streams=streams))
    need_one_of_a_kind(cast(Run, SimpleNamespace(stream=stream)), candidate, INT8, TALK)


def test_two_streams_of_one_kind_would_share_their_figures_name() -> None:
    with pytest.raises(CandidateError, match="two streams of synthetic speech, talk and more"):
        heard(TALK, MORE)


def test_recordings_and_synthetic_speech_or_other_targets_streams_are_apart() -> None:
    heard(TALK, RECORDED, MORE.model_copy(update={"targets": ("rk3588",)}))


def test_a_stream_whose_corpus_is_not_here_has_no_figures_to_mix() -> None:
    heard(TALK, MORE, absent=("more",))


@pytest.mark.parametrize("gave", [9, 11])
def test_a_score_too_few_or_too_many_is_a_fault_of_the_board(gave: int) -> None:
    board, built = SimpleNamespace(name="pi"), SimpleNamespace(candidate="own", recipe=INT8)
    heard = np.zeros((10, 4, 40), np.float32)
    with pytest.raises(ToolchainError, match=rf"own on host/int8: pi gave \[{gave}\] scores of 10 steps"):
        every_step(np.zeros(gave, np.float32), heard, cast(Artifact, built), cast(Board, board))
