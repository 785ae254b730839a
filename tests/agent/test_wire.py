from __future__ import annotations

import execnet
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.agent import wire

kinds = st.sampled_from(["<f4", "<f8", "<i2", "<i8"]).map(np.dtype)


@given(kinds.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0))))
def test_an_array_arrives_as_it_was_sent(array: np.ndarray) -> None:
    carried = execnet.loads(execnet.dumps(wire.pack(array)))
    found = wire.unpack(carried)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_big_endian_and_strided_arrays_arrive_too() -> None:
    array = np.arange(12, dtype=">i2").reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(wire.unpack(wire.pack(array)), array)


@pytest.mark.parametrize(
    "packed", [{"kind": "|O", "shape": [1], "data": b"12345678"}, {"kind": "<f4", "shape": [3], "data": b"1234"}]
)
def test_what_no_pack_made_is_refused(packed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"refused|cannot reshape"):
        wire.unpack(packed)
