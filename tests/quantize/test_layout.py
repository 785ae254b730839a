from __future__ import annotations

import numpy as np
import pytest

from harness.errors import CandidateError
from harness.quantize.layout import laid

WINDOW = np.arange(49 * 10, dtype=np.float32).reshape(49, 10)


@pytest.mark.parametrize("shape", [(1, 1, 49, 10), (1, 49, 10, 1), (49, 10)])
def test_frames_before_bins_keep_their_order(shape: tuple[int, ...]) -> None:
    assert laid(WINDOW, shape).shape == shape
    np.testing.assert_array_equal(laid(WINDOW, shape).reshape(49, 10), WINDOW)


@pytest.mark.parametrize("shape", [(1, 10, 1, 49), (1, 10, 49, 1)])
def test_an_input_that_a_converter_turned_is_turned_too(shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(laid(WINDOW, shape).reshape(10, 49), WINDOW.T)


def test_a_square_input_is_taken_as_it_is() -> None:
    square = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(laid(square, (1, 4, 4, 1))[0, :, :, 0], square)


@pytest.mark.parametrize("shape", [(1, 490), (1, 7, 70, 1), (2, 49, 10, 1), (1, -1, 10, 1)])
def test_any_other_shape_is_the_conversions_fault(shape: tuple[int, ...]) -> None:
    with pytest.raises(CandidateError, match="does not hold windows of 49 frames x 10 bins: the conversion changed it"):
        laid(WINDOW, shape)
