import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.chip.packing import (
    kernel_bits,
    pack_biases,
    pack_bytes,
    pack_kernels,
    unpack_biases,
    unpack_bytes,
    unpack_kernels,
)
from hatlite.errors import ProgramError


def bits(packed):
    return "".join(f"{byte:08b}" for byte in packed)


def drawn(seed, shape):
    """Weights whose kernels have steps of 0…31 and every level."""
    rng = np.random.default_rng(seed)
    out, _, _, into = shape
    levels = rng.choice([0, 1, 2, 4], shape) * rng.choice([-1, 1], shape)
    return (levels * rng.integers(0, 32, (out, 1, 1, into))).astype(np.int8)


SHAPES = st.tuples(st.integers(1, 5), st.just(3), st.just(3), st.integers(1, 5)) | st.just((4, 1, 1, 3))


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 2**31), SHAPES)
def test_weights_survive(seed, shape):
    weights = drawn(seed, shape)
    packed = pack_kernels(weights)
    assert packed.size == -(-shape[0] * shape[3] * kernel_bits(3, shape[1] * shape[2]) // 8)
    np.testing.assert_array_equal(unpack_kernels(packed, shape), weights)
    dense = np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)
    np.testing.assert_array_equal(unpack_bytes(pack_bytes(dense), shape), dense)


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.integers(-(2**19), 2**19 - 1), min_size=1, max_size=30))
def test_biases_survive(biases):
    packed = pack_biases(np.array(biases, np.int32))
    assert packed.size == -(-20 * len(biases) // 8)
    assert unpack_biases(packed, len(biases)).tolist() == biases


def test_the_bits_of_a_kernel_are_as_documented():
    kernel = np.array([[0, 5, -10], [20, -20, 5], [0, 0, -5]], np.int8)
    packed = pack_kernels(kernel[None, :, :, None])
    taps = ["000", "001", "110", "011", "111", "001", "000", "000", "101"]
    assert bits(packed) == "00000101" + "".join(taps) + "00000"


def test_the_smallest_step_is_taken_that_gives_the_weights():
    for taps, step in (([8, 0, -8], 2), ([8, 4, 0], 2), ([3, 0, -3], 3), ([6, 3, 0], 3), ([0, 0, 0], 0)):
        weights = np.array(taps + [0] * 6, np.int8).reshape(1, 3, 3, 1)
        assert pack_kernels(weights)[0] == step
        np.testing.assert_array_equal(unpack_kernels(pack_kernels(weights), (1, 3, 3, 1)), weights)


def test_kernels_follow_by_output_then_input_channel():
    weights = np.arange(2 * 3, dtype=np.int8).reshape(2, 1, 1, 3)
    assert bits(pack_kernels(4 * weights))[:55:11] == "00000"  # steps of 8 bits, codes of 3
    assert [int(bits(pack_kernels(4 * weights))[11 * i : 11 * i + 8], 2) for i in range(6)] == [0, 1, 2, 3, 4, 5]
    two = np.arange(18, dtype=np.int8).reshape(1, 3, 3, 2)
    assert pack_bytes(two).tolist() == [*range(0, 18, 2), *range(1, 18, 2)]


def test_a_bias_is_twos_complement():
    assert bits(pack_biases(np.array([-1, 1, -(2**19)], np.int32))) == f"{2**20 - 1:020b}{1:020b}{2**19:020b}0000"


def test_what_has_no_bits_is_named():
    weights = np.zeros((2, 3, 3, 2), np.int8)
    weights[1, 0, :, 0] = 6, 4, 1
    text = r"kernel of channel 0 for channel 1 is \[6, 4, 1, 0, 0, 0, 0, 0, 0\]; 3-bit weights are 0, ±1, ±2 or ±4"
    with pytest.raises(ProgramError, match=text):
        pack_kernels(weights)
    with pytest.raises(ProgramError, match="biases reach from 0 to 524288; expected 20 bits"):
        pack_biases(np.array([0, 2**19], np.int32))


def test_other_lengths_are_refused():
    for unpack, shape, text in (
        (unpack_kernels, (2, 3, 3, 2), "holds 3 bytes of kernels; expected 18"),
        (unpack_bytes, (2, 3, 3, 2), "holds 3 bytes of weights; expected 36"),
        (unpack_biases, 2, "holds 3 bytes of biases; expected 5"),
    ):
        with pytest.raises(ProgramError, match=text):
            unpack(np.zeros(3, np.uint8), shape)
