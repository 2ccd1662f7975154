import dataclasses

import pytest

from hatlite.errors import MarchError
from hatlite.march import Arithmetic, get_march


def test_derived_speeds():
    march = dataclasses.replace(get_march("bayes-sim"), mac_array=(2, 3, 5), clock_hz=1e9)
    assert march.macs_per_cycle == 30
    assert march.depthwise_macs_per_cycle == 10
    assert march.tops == pytest.approx(0.06)


def test_bayes_sim_is_of_the_10_tops_class():
    assert get_march("bayes-sim").tops == pytest.approx(10.24)


def test_multipliers_cannot_tie_at_8_bits():
    arithmetic = Arithmetic()
    assert 2 ** (arithmetic.multiplier_bits - 1) + 1 >= 2 * 255 + 3


@pytest.mark.parametrize("name", ["clock_hz", "sram_bytes", "dram_bytes_per_second", "vector_lanes"])
def test_facts_must_be_positive(name):
    with pytest.raises(MarchError, match=f"'bayes-sim': {name} is 0; expected a number above 0"):
        dataclasses.replace(get_march("bayes-sim"), **{name: 0})


def test_mac_array_has_three_sides():
    with pytest.raises(MarchError, match=r"mac_array is \(8, 0, 1\); expected three counts"):
        dataclasses.replace(get_march("bayes-sim"), mac_array=(8, 0, 1))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"family": "posit"}, "family is 'posit'; expected one of multiplier_shift"),
        ({"rounding": "stochastic"}, "rounding is 'stochastic'; expected one of half_up"),
        ({"activation_dtypes": ("fp8",)}, "dtype 'fp8' does not exist; expected some of int8"),
    ],
)
def test_unknown_arithmetic_is_refused(fields, text):
    with pytest.raises(MarchError, match=text):
        Arithmetic(**fields)
