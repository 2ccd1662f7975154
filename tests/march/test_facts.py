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


def test_tidl_is_of_the_8_tops_class():
    assert get_march("tidl").tops == pytest.approx(8.192)


def test_a_range_of_powers_of_two_has_one_step_more():
    bayes, tidl = (get_march(name).arithmetic for name in ("bayes-sim", "tidl"))
    assert (bayes.steps(127), tidl.steps(127), tidl.steps(255)) == (127, 128, 256)
    assert (bayes.powers_of_two, tidl.powers_of_two) == (False, True)
    assert (tidl.bias_bits_behind("uint8"), tidl.bias_bits_behind("int16")) == (16, 32)


def test_weights_of_16_bits_are_summed_in_wide_registers():
    bayes, tidl = (get_march(name).arithmetic for name in ("bayes-sim", "tidl"))
    assert (bayes.weight_dtypes, tidl.weight_dtypes) == (("int8",), ("int8", "int16"))
    assert (bayes.weight_range("int8"), tidl.weight_range("int8")) == ((-127, 127), (-128, 127))
    assert tidl.weight_range("int16") == (-(2**15), 2**15 - 1)
    assert (tidl.bias_bits_behind("uint8", "int8"), tidl.bias_bits_behind("uint8", "int16")) == (16, 32)
    assert (tidl.accumulator_bits_behind("int8", "int8"), tidl.accumulator_bits_behind("int8", "int16")) == (32, 64)


def test_what_can_be_chosen_does_not_make_another_arithmetic():
    tidl = get_march("tidl").arithmetic
    assert tidl.computes_like(dataclasses.replace(tidl, weight_scales=("depthwise",), output_dtypes=("int8",)))
    assert not tidl.computes_like(dataclasses.replace(tidl, bias_bits=20))
    assert not tidl.computes_like(get_march("bayes-sim").arithmetic)


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
        ({"weight_rounding": "down"}, "weight_rounding is 'down'; expected one of half_even, half_away"),
        ({"weight_scales": ("row",)}, "weight_scales is 'row'; expected one of channel, tensor, depthwise"),
        ({"scale_grids": ("pow3",)}, "scale_grids is 'pow3'; expected one of float32, pow2"),
        ({"large_biases": ("wrap",)}, "large_biases is 'wrap'; expected one of reduce_weight_scale, saturate"),
        ({"activation_dtypes": ("fp8",)}, "dtype 'fp8' does not exist; expected some of int8"),
        ({"weight_dtypes": ("int4",)}, "dtype 'int4' does not exist; expected some of int8"),
    ],
)
def test_unknown_arithmetic_is_refused(fields, text):
    with pytest.raises(MarchError, match=text):
        Arithmetic(**fields)


def test_gti5801_has_five_bits_and_scales_of_one():
    gti = get_march("gti5801").arithmetic
    assert (gti.value_bits("uint8"), gti.value_bits("int16"), gti.value_bits("int32")) == (5, 10, None)
    assert (gti.unit_scale("uint8"), gti.unit_scale("int16")) == (1.0, 1 / 32)
    assert (gti.weight_range("kernel3"), gti.bias_bits_behind("uint8", "kernel3")) == ((-127, 127), 20)
    assert gti.accumulator_bits_behind("uint8", "kernel3") == 32 and gti.steps(31) == 31
    assert not gti.computes_like(get_march("tidl").arithmetic)
    assert get_march("tidl").arithmetic.unit_scale("int8") is get_march("tidl").arithmetic.value_bits("int8") is None
