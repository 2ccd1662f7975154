"""What one step of a weight stands for on each march, and how weights are rounded there."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import images
from operator_networks import SIZE, calibrated, conv
from torch import nn

from hatlite.march import get_march
from hatlite.qparams import QParams
from hatlite.quantization import QConfig
from hatlite.quantization.weight_scales import WEIGHT_ROUNDINGS, WeightRule, bias_range, weight_scales

WEIGHT = torch.tensor([0.3, -0.5, 0.001], dtype=torch.float64).reshape(3, 1, 1, 1)
BIAS = torch.tensor([0.0, 100.0, 0.0], dtype=torch.float64)


def scales(sharing: str, depthwise: bool = True, **choices: str) -> list[float]:
    arithmetic = QConfig(march="tidl", weight_scales=sharing, **choices).arithmetic
    return weight_scales(WEIGHT, BIAS, QParams(1.0, "int8"), arithmetic, grid="pow2", depthwise=depthwise).tolist()


def test_one_for_the_tensor_or_one_for_each_channel_of_a_depthwise_convolution() -> None:
    assert scales("tensor") == scales("depthwise", depthwise=False) == [2.0**-8] * 3, "0.5 is 128 steps"
    assert scales("depthwise") == [2.0**-8, 2.0**-8, 2.0**-16], "none is finer than 1/256 of the largest"


def test_a_bias_makes_room_for_itself_or_saturates() -> None:
    room = QConfig(march="tidl", large_bias="reduce_weight_scale", weight_scales="depthwise").arithmetic
    bayes, tidl = get_march("bayes-sim").arithmetic, get_march("tidl").arithmetic
    scale = weight_scales(WEIGHT, BIAS * 1000, QParams(1.0, "int8"), bayes, grid="float32", depthwise=False)
    assert float(scale[1]) == pytest.approx(1e5 / 2**22)
    roomy = scales("tensor", large_bias="reduce_weight_scale")
    assert roomy == [2.0**-8] * 3, "100 is 25,600 steps"
    many = weight_scales(WEIGHT, BIAS * 4, QParams(1.0, "int8"), room, grid="pow2", depthwise=True).tolist()
    assert many == [2.0**-8, 2.0**-6, 2.0**-14], "400 is 25,600 steps of 1/64"
    assert bias_range(bayes, "int8") == (-(2**23), 2**23)
    assert (bias_range(tidl, "uint8"), bias_range(tidl, "int16")) == ((-32768, 32767), (-(2**31), 2**31 - 1))
    assert (bias_range(room, "uint8"), bias_range(room, "int16")) == ((-32768, 32767), (-(2**23), 2**23))


def test_halves_go_away_from_zero_or_to_the_even_neighbour() -> None:
    values = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, -0.49999997, 2.25])
    before = values.clone()
    assert WEIGHT_ROUNDINGS["half_away"](values).tolist() == [-3, -2, -1, 1, 2, 3, 0, 0, 2]
    assert WEIGHT_ROUNDINGS["half_even"](values).tolist() == [-2, -2, 0, 0, 2, 2, 0, 0, 2]
    assert torch.equal(values, before)


@given(st.floats(-(2.0**15), 2.0**15, width=32))
def test_half_away_is_the_nearest_integer(value: float) -> None:
    got = float(WEIGHT_ROUNDINGS["half_away"](torch.tensor(value)))
    assert abs(got - value) <= 0.5 and got == int(got)
    assert abs(got - value) < 0.5 or abs(got) > abs(value)


def test_the_integers_of_a_convolution_by_hand() -> None:
    graph = calibrated(lambda: nn.Conv2d(3, 2, 1), qconfig=QConfig(march="tidl"))
    site = graph.sites["inner"]
    with torch.no_grad():
        site.layer.weight.copy_(torch.tensor([[1.0, -1.0, 0.5], [1.5 / 128, -2.5 / 128, 0.0]]).reshape(2, 3, 1, 1))
        site.layer.bias.copy_(torch.tensor([2.5 / 128**2, -100.0]))
    graph.refresh()
    weight, bias = site.integers()
    assert site.weight_scale.tolist() == [1 / 128] * 2
    assert weight.flatten().tolist() == [127, -128, 64, 2, -3, 0], "1 saturates; halves go away from 0"
    assert bias.tolist() == [3, -32768], "a bias saturates at 16 bits"


def test_16_bit_weights_by_hand() -> None:
    graph = calibrated(lambda: nn.Conv2d(3, 2, 1), qconfig=QConfig(march="tidl", weight=dict(dtype="int16")))
    site = graph.sites["inner"]
    with torch.no_grad():
        site.layer.weight.copy_(torch.tensor([[1.0, -1.0, 0.5], [1.5 / 2**15, -2.5 / 2**15, 0.0]]).reshape(2, 3, 1, 1))
        site.layer.bias.copy_(torch.tensor([2.5 / 2**22, -1000.0]))
    graph.refresh()
    weight, bias = site.integers()
    assert site.weight_scale.tolist() == [2.0**-15] * 2
    assert weight.flatten().tolist() == [32767, -32768, 16384, 2, -3, 0], "1 saturates; halves go away from 0"
    assert bias.tolist() == [3, -(2**31)], "the scale of a bias is 1/128 · 2^-15, and it saturates at 32 bits"


def test_a_bias_has_256_times_the_room_behind_16_bit_weights() -> None:
    choices = {"weight": dict(dtype="int16"), "weight_scales": "depthwise"}
    room = QConfig(march="tidl", large_bias="reduce_weight_scale", **choices).arithmetic
    bias = torch.tensor([0.0, 2.0**17, 0.0], dtype=torch.float64)
    found = weight_scales(WEIGHT, bias, QParams(1.0, "int8"), room, grid="pow2", depthwise=True)
    assert found.tolist() == [2.0**-16, 2.0**-13, 2.0**-21], "2^17 is 2^30 steps; none is finer than 1/256 of it"
    saturating = QConfig(march="tidl", **choices).arithmetic
    for arithmetic in (room, saturating):
        assert bias_range(arithmetic, "int8") == bias_range(arithmetic, "int16") == (-(2**31), 2**31 - 1)


def test_a_network_keeps_its_accuracy_within_what_steps_of_powers_of_two_cost() -> None:
    """Mean error of the result over its range. The biases of this one are too large for 16 bits of fine steps."""
    make = lambda: nn.Sequential(conv(3, 8, nn.ReLU()), conv(8, 8, nn.ReLU()), conv(8, 4))  # noqa: E731
    error = {}
    for choice in ("saturate", "reduce_weight_scale"):
        graph = calibrated(make, 3, QConfig(activation=dict(observer="min_max"), march="tidl", large_bias=choice))
        img = images(2, *SIZE, seed=3)
        with torch.no_grad():
            got = graph(img)["y"]
            graph.calibrate_mode()
            wanted = graph(img)["y"]
        error[choice] = float((got - wanted).abs().mean() / wanted.abs().max())
    assert error["reduce_weight_scale"] < 1 / 32 < 1 / 8 < error["saturate"]


def shifts(weight: float, bias: float, last: float | None = None, kind: str = "int8", **rule: object) -> list[float]:
    """Return the weight scale that gti5801 takes for a 3×3 kernel with one weight, and a bias."""
    kernel = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    kernel[0, 0, 1, 1] = weight
    arithmetic = QConfig(march="gti5801", weight=dict(dtype=kind)).arithmetic
    before = None if last is None else torch.full((2,), last, dtype=torch.float64)
    biases, entry = torch.tensor([bias, 0.0], dtype=torch.float64), QParams(1.0, "uint8")
    choices = {"rule": WeightRule(**rule), "last": before}  # type: ignore[arg-type]
    return weight_scales(kernel, biases, entry, arithmetic, grid="float32", depthwise=False, **choices).tolist()


@pytest.mark.parametrize(
    ("weight", "bias", "shift"),
    [
        (0.5, 0.0, 7),
        (1.0, 0.0, 6),
        (63.5, 0.0, 0),
        (31.75, 0.0, 1),
        (1e-9, 0.0, 12),
        (500.0, 0.0, 0),
        (0.1, 1000.0, 9),
        (0.1, 524287.0, 0),
        (0.1, 1e9, 0),
        (0.1, 8.0, 10),
    ],
)
def test_the_shift_of_a_layer_by_hand(weight: float, bias: float, shift: int) -> None:
    assert shifts(-weight, -bias) == [2.0**-shift] * 2


def test_codes_may_leave_room_for_finer_steps() -> None:
    assert shifts(1.0, 0.0, kind="kernel3") == [2.0**-6] * 2
    assert shifts(1.0, 0.0, kind="kernel3", shift="codes") == [2.0**-10] * 2, "the mean magnitude is 1/9"
    assert shifts(1.0, 0.0, kind="kernel3", shift="codes", step="mse") == [2.0**-6] * 2
    assert shifts(1.0, 0.0, kind="int8", shift="codes") == [2.0**-6] * 2, "all integers are codes"


@pytest.mark.parametrize(
    ("weight", "last", "shift"),
    [
        (0.97, 2.0**-6, 6),
        (0.97, 2.0**-7, 7),
        (1.01, 2.0**-7, 6),
        (0.7, 2.0**-6, 7),
        (0.8, 2.0**-6, 6),
        (0.3, 2.0**-6, 8),
        (0.8, float("nan"), 7),
    ],
)
def test_a_shift_is_kept_while_it_serves(weight: float, last: float, shift: int) -> None:
    assert shifts(weight, 0.0, last, shift_hysteresis=True) == [2.0**-shift] * 2
    assert shifts(weight, 0.0, last) == shifts(weight, 0.0)


def test_biases_of_gti5801_have_20_bits() -> None:
    assert bias_range(get_march("gti5801").arithmetic, "uint8") == (-(2**19), 2**19 - 1)
