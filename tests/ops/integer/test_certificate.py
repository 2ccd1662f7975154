"""A certificate says equal exactly where brute force does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.ops.integer.certificate import agrees, agrees_on_pairs, thresholds
from hatlite.ops.integer.engine_rules import ADD_RULES, CONV_RULES, FLOAT32_FLOOR, Channels, ConvRule
from hatlite.ops.integer.fixed_point import requantize

ODD = st.integers(2**13, 2**14 - 1).map(lambda half: 2 * half + 1)
POWERS = st.integers(0, 12).map(lambda exponent: 2**exponent)
CLAMPS = st.sampled_from([(-128, 127), (0, 255), (0, 31), (-16, 15)])


@given(ODD | POWERS, st.integers(0, 46), CLAMPS)
def test_thresholds_are_where_the_definition_steps(multiplier: int, shift: int, clamp: tuple[int, int]) -> None:
    steps = thresholds([multiplier], [shift], clamp)
    levels = np.arange(clamp[0] + 1, clamp[1] + 1)
    assert (requantize(steps.T, multiplier, shift, *clamp)[:, 0] >= levels).all()
    assert (requantize(steps.T - 1, multiplier, shift, *clamp)[:, 0] < levels).all()


@pytest.mark.parametrize("rule", [*CONV_RULES, FLOAT32_FLOOR], ids=lambda rule: rule.name)
@given(ODD, st.integers(20, 27), CLAMPS, st.integers(-40_000, 40_000), st.integers(0, 60_000), st.integers(-9999, 9999))
def test_a_certificate_is_what_brute_force_says(
    rule: ConvRule, multiplier: int, shift: int, clamp: tuple[int, int], low: int, width: int, bias: int
) -> None:
    acc = np.arange(low, low + width + 1)
    m = np.array([[np.ldexp(multiplier, -shift)]], dtype=np.float32)
    channels = Channels(m, np.array([[bias]]), signed=clamp[0] < 0)
    equal = (np.clip(rule.round(acc[None], channels)[0], *clamp) == requantize(acc, multiplier, shift, *clamp)).all()
    assert agrees(rule, [multiplier], [shift], clamp, low=low, high=low + width, bias=bias)[0] == equal


@pytest.mark.parametrize("clamp", [(-128, 127), (0, 255), (0, 31), (-32768, 32767)])
def test_a_floor_in_float32_is_the_definition_of_every_shift(clamp: tuple[int, int]) -> None:
    """To the last accumulator that float32 holds, for the clamps of up to 16 bits."""
    proven = agrees(FLOAT32_FLOOR, np.ones(32), np.arange(32), clamp)
    assert np.flatnonzero(~proven).tolist() == [25], "1 − 2^-25 is no float32, and rounds up to the level 1"
    assert agrees(FLOAT32_FLOOR, 2 ** np.arange(13), np.zeros(13, int), clamp).all()


def test_half_to_even_is_refused_wherever_a_tie_can_be_reached() -> None:
    even = CONV_RULES[0]
    assert not agrees(even, np.ones(8), np.arange(1, 9), (-128, 127)).any()
    assert agrees(even, [1, 4], [0, 0], (-128, 127)).all(), "what is not shifted to the right has no ties"
    assert agrees(even, [1], [9], (-128, 127), low=-255, high=255).all(), "no accumulator is 256 · odd"


def test_a_rule_that_rounds_otherwise_is_refused() -> None:
    down = ConvRule("floor", lambda acc, channels: np.floor(acc.astype(np.float32) * channels.m))
    assert not agrees(down, [16385], [20], (-128, 127))[0]
    assert agrees(down, [16385], [20], (-128, 127), low=0, high=31)[0], "0…31 · 0.0156 stays below a half"


def test_all_pairs_tell_a_wrong_rule() -> None:
    swapped = type(ADD_RULES[0])("swapped", lambda signed, a, b, ma, mb: ADD_RULES[0].round(signed, a, b, mb, ma))
    assert not agrees_on_pairs(swapped, (600000, 700000), 20, ((0, 255), (0, 255)), (0, 255))
