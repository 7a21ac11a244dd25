"""Scales, steps and packing of weights, by hand."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from strop.quantize.weights import channel_scales, pack_int4, stored_bits, unpack_int4


def test_scales_by_hand():
    """Largest 7 and 0.5 over 7 levels in 4 bits, over 127 in 8; along another axis the channels are columns."""
    weights = np.array([[7.0, -1.0], [0.25, -0.5]], np.float32)
    assert channel_scales(weights, 0, 4).tolist() == [1.0, np.float32(0.5 / 7)]
    assert channel_scales(weights, 0, 8).tolist() == [np.float32(7 / 127), np.float32(0.5 / 127)]
    assert channel_scales(weights, 1, 3).tolist() == [np.float32(7 / 3), np.float32(1 / 3)]


def test_a_channel_of_zeros_has_a_scale():
    """0 / 0 would be no number; nor does a scale below the smallest float."""
    assert channel_scales(np.array([[0.0, 0.0], [1e-44, 0.0]], np.float32), 0, 8).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_error_of_a_uniform_tensor(bits):
    """Uniform in [-1, 1], step s = 1 / (2^(b-1) - 1): the error is uniform in [-s/2, s/2], its mean square s^2 / 12."""
    weights = np.random.default_rng(0).uniform(-1, 1, (1, 200_000)).astype(np.float32)
    weights[0, 0] = 1.0
    [scale] = channel_scales(weights, 0, bits)
    assert scale == np.float32(1 / (2 ** (bits - 1) - 1))
    error = weights - scale * np.round(weights / scale)
    assert np.abs(error).max() <= scale / 2 * (1 + 1e-5)
    assert (error**2).mean() == pytest.approx(scale**2 / 12, rel=0.02)


def test_packing_by_hand():
    """Two to a byte, the first in the low half, two's complement; an odd end is filled with 0."""
    assert pack_int4(np.array([1, -1, 7, -8, 3], np.int8)).hex() == "f18703"


@given(arrays.arrays(np.int8, arrays.array_shapes(max_dims=4, max_side=5), elements=st.integers(-8, 7)))
def test_packing_there_and_back(values):
    """Ours and ONNX's reading of the bytes give what was packed, in half the bytes rounded up."""
    packed = pack_int4(values)
    assert len(packed) == -(-values.size // 2)
    assert np.array_equal(unpack_int4(packed, values.shape), values)
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.INT4, dims=values.shape, raw_data=packed)
    assert np.array_equal(onnx.numpy_helper.to_array(tensor).astype(np.int8), values)


def test_what_does_not_fit_is_refused():
    """8 would come back as -8."""
    with pytest.raises(ValueError, match="-3 to 8 does not fit into 4 bits"):
        pack_int4(np.array([-3, 8], np.int8))


def test_what_the_file_takes():
    """ONNX has 4 and 8 bits, nothing between."""
    assert [stored_bits(bits) for bits in (3, 4, 6, 8, 32)] == [4, 4, 8, 8, 32]
