"""What each arithmetic family makes of scales: constants that the march has, near what was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import SIGNED_MARCHES

from hatlite.march import get_march
from hatlite.ops.integer.families import family_of
from hatlite.ops.integer.fixed_point import requantize
from hatlite.ops.integer.snap import Addition, snap

SHIFTS = family_of(get_march("tidl").arithmetic)
CLAMPS = st.sampled_from([(-128, 127), (0, 255), (0, 31)])
POWERS = st.integers(-12, 4).map(lambda exponent: 2.0**exponent)


@given(st.lists(POWERS, min_size=1, max_size=5), POWERS, CLAMPS)
def test_shifts_are_the_ratio_of_the_scales(
    weight_scales: list[float], scale_in: float, clamp: tuple[int, int]
) -> None:
    scale_out = max(weight_scales) * scale_in * 2**3
    found = SHIFTS.snap(weight_scales, scale_in, scale_out, clamp, SHIFTS.conv_rules)
    assert (found.weight_scale == weight_scales).all()
    assert (
        np.ldexp(found.multiplier.astype(float), -found.shift) == np.array(weight_scales) * scale_in / scale_out
    ).all()
    assert (found.multiplier == 1).all() and (found.rank == 1).all()


def test_scales_off_the_grid_go_to_the_next_power_upwards() -> None:
    found = SHIFTS.snap([0.3, 2.0**-60], 1.0, 1.0, (-128, 127), SHIFTS.conv_rules)
    assert found.shift.tolist() == [1, 31] and found.weight_scale.tolist() == [0.5, 2.0**-31]


@given(POWERS, POWERS, POWERS, st.integers(-128, 255), st.integers(-128, 255), st.sampled_from([(1, 1), (1, -1)]))
def test_an_addition_is_the_rounded_sum_of_the_real_values(
    scale_a: float, scale_b: float, scale: float, a: int, b: int, signs: tuple[int, int]
) -> None:
    ranges = ((-128, 255), (-128, 255))
    found = SHIFTS.snap_add((scale_a, scale_b), scale, Addition(ranges, (-128, 127), signs=signs), 1)
    total = a * found.multipliers[0] * signs[0] + b * found.multipliers[1] * signs[1]
    (got,) = requantize(np.array([total]), 1, found.shift, -128, 127)
    real = np.floor((signs[0] * a * scale_a + signs[1] * b * scale_b) / scale + 0.5)  # float64 holds all of it
    assert got == np.clip(real, -128, 127)
    assert found.scale == scale


def test_sums_that_float32_cannot_hold_are_not_called_proven() -> None:
    wide = Addition(((-32768, 32767),) * 2, (-32768, 32767), ())
    assert SHIFTS.snap_add((1.0, 2.0**-8), 1.0, wide, 1).rank == 2
    assert SHIFTS.snap_add((1.0, 2.0**-9), 1.0, wide, 1).rank == 0


@pytest.mark.parametrize("march", SIGNED_MARCHES)
@given(taps=st.integers(1, 100_000))
def test_an_average_has_one_weight_that_fits_its_type(march: str, taps: int) -> None:
    family = family_of(get_march(march).arithmetic)
    weight, scale = family.average_weight(taps)
    assert 1 <= weight <= family.arithmetic.weight_range("int8")[1]
    assert abs(weight * scale * taps - 1) <= 1 / 128


def test_average_weights_by_hand() -> None:
    assert SHIFTS.average_weight(9) == (114, 2.0**-10)  # 64 · 16 / 9 = 113.8
    assert SHIFTS.average_weight(4) == (64, 2.0**-8)
    assert SHIFTS.average_weight(513) == (64, 2.0**-15)  # 127.75 rounds to 128, which is no weight


def test_the_other_family_is_the_search_for_multipliers() -> None:
    family = family_of(get_march("bayes-sim").arithmetic)
    scales = [0.013, 0.0021]
    one = family.snap(scales, 0.02, 0.05, (-128, 127), family.conv_rules)
    other = snap(scales, 0.02, 0.05, (-128, 127), family.conv_rules)
    assert (one.multiplier == other.multiplier).all() and (one.weight_scale == other.weight_scale).all()
