"""The front end of a stream: its chunks are nobody's business."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.audio.frontend import FrontEnd
from harness.audio.listening import steps

FRONT = FrontEnd(window_s=0.09, frame_length_ms=30.0, frame_shift_ms=20.0, mean=7.0, scale=4.0)
AUDIO = (np.random.default_rng(5).standard_normal(16000) * 900).astype(np.int16)


def cut(places: list[int]) -> list[np.ndarray]:
    return np.split(AUDIO, sorted(places))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=12))
def test_chunks_of_any_length_give_the_features_of_the_windows(places: list[int]) -> None:
    heard = np.concatenate(list(steps(FRONT, cut(places))))
    assert FRONT.step_s == pytest.approx(0.08)
    assert len(heard) == (len(AUDIO) - FRONT.overlap) // FRONT.hop
    windows = [AUDIO[i * FRONT.hop : i * FRONT.hop + FRONT.samples] for i in range(len(heard))]
    assert np.array_equal(heard, np.stack([FRONT.features(window) for window in windows]))


def test_what_is_shorter_than_a_step_is_not_heard_yet() -> None:
    assert list(steps(FRONT, [AUDIO[: FRONT.samples - 1]])) == []


def test_the_micro_front_end_listens_on_over_chunks() -> None:
    pytest.importorskip("pymicro_features", reason="needs pymicro-features: pip install pymicro-features")
    front = FrontEnd(kind="micro", window_s=0.05, frame_length_ms=30.0, frame_shift_ms=10.0)
    whole = np.concatenate(list(steps(front, [AUDIO])))
    parts = np.concatenate(list(steps(front, cut([37, 1000, 1001, 9000]))))
    assert whole.shape == (32, 3, 40)
    assert np.array_equal(whole, parts)
    assert not np.array_equal(whole[5], front.features(AUDIO[5 * 480 :][: front.samples]))  # it has an ear, no windows


def test_a_micro_front_end_of_another_make_is_refused() -> None:
    with pytest.raises(ValueError, match="Micro's front end is made for sample_rate = 16000"):
        FrontEnd(kind="micro", frame_shift_ms=20.0)
