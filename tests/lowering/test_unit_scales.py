"""Chains on gti5801: the same integers in training, in every engine and in ONNX Runtime, and gains behind them."""

import numpy as np
import pytest
import torch
from chains import Chain, chain_qconfig, pixels, unit_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_networks import differing, lowered, train_a_little

from hatlite.errors import CaptureError, ProgramError, QuantizationError
from hatlite.executor import Executor, dequantize_outputs
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.ops.integer.kernel_codes import has_kernel_steps
from hatlite.quantization import QConfig, prepare

SIZE = (10, 12)


@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    size=st.tuples(st.integers(2, 13), st.integers(2, 13)),
    wide=st.booleans(),
    last=st.integers(0, 4),
    choices=st.fixed_dictionaries(
        {"step": st.sampled_from(["mean", "mse"]), "shift": st.sampled_from(["weights", "codes"])}
    ),
    scale=st.sampled_from([0.05, 1.0, 20.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=8)
def test_every_integer_is_the_same_everywhere(
    widths: tuple[int, ...],
    size: tuple[int, int],
    wide: bool,
    last: int,
    choices: dict[str, str],
    scale: float,
    seed: int,
) -> None:
    network = Chain(widths, seed, wide, scale)
    kinds = ("int8",) * min(last, len(widths))
    graph = unit_chain(network, size, chain_qconfig(network, kinds, weight=choices))
    assert differing(graph, pixels(2, *size, seed=seed)) == 0
    train_a_little(graph, pixels(2, *size, seed=3), may_be_dead=True)  # all outputs are those of ReLUs, of one at least
    graph.refresh()
    assert differing(graph, pixels(1, *size, seed=4)) == 0


def test_values_weights_and_outputs_of_a_program() -> None:
    network = Chain((6, 5, 4), wide_output=True)
    network.dequant.gain.copy_(torch.tensor([0.5, 1.0, 2.0, 0.125]))
    graph = unit_chain(network, SIZE, chain_qconfig(network, ("int8",)))
    program = lowered(graph)
    convs = [op for op in program.ops if op.kind == "conv2d"]
    assert [op.weight.kind for op in convs] == ["kernel3", "kernel3", "int8"]
    assert all(has_kernel_steps(op.weight.values) for op in convs[:2]) and not has_kernel_steps(convs[2].weight.values)
    types = [(value.dtype, value.limits, value.scale) for value in program.values.values()]
    assert types == [("uint8", (0, 31), 1.0)] * 4 + [("int16", (0, 1023), 1 / 32)]
    assert program.outputs[0].scale.tolist() == [0.5 / 32, 1 / 32, 2 / 32, 0.125 / 32]
    img = pixels(2, *SIZE, seed=5)
    got = Executor(program).run({"img": img.permute(0, 2, 3, 1).numpy().astype(np.uint8)})
    assert 0 < got["y"].max() <= 1023 and got["y"].max() > 31
    with torch.no_grad():
        assert torch.equal(graph(img)["y"], torch.from_numpy(dequantize_outputs(program, got)["y"]))


def test_the_integers_of_a_layer_by_hand() -> None:
    network = Chain((1,))
    with torch.no_grad():
        network.convs[0].weight.fill_(0.25)
        network.convs[0].bias.fill_(-100.25)
    graph = unit_chain(network, SIZE)
    (site,) = (site for site in graph.sites.values() if site.path == "convs.0")
    weight, bias = site.integers()
    assert (int(site.shift[0]), int(site.multiplier[0]), float(site.weight_scale[0])) == (8, 1, 2.0**-8)
    assert weight.unique().tolist() == [64.0] and bias.tolist() == [-25664.0], "4 · 16 and 100.25 · 256"
    for pixel, expected in ((20.0, 31.0), (17.0, 15.0)):  # (27 · 64 · 17 − 25664 + 128) >> 8 is 15; 20 saturates
        with torch.no_grad():
            values = graph.integers(torch.full((1, 3, *SIZE), pixel))["convs_0"]
        assert float(values[0, 0, 1, 1]) == expected


def test_an_executor_refuses_pixels_of_more_bits() -> None:
    program = lowered(unit_chain(Chain((2,)), SIZE))
    image = np.full((1, *SIZE, 3), 32, np.uint8)
    with pytest.raises(ProgramError, match=r"input 'img' has integers from 32 to 32; expected 0…31\."):
        Executor(program).run({"img": image})


def test_real_ranges_are_no_integers() -> None:
    network = Chain((2, 2))
    graph = prepare(network, QConfig(march="gti5801"), pixels(1, *SIZE))
    with torch.no_grad():
        graph(pixels(2, *SIZE))
    graph.finish_calibration()
    text = r"convs\.0 .* has the scale .*, where the march computes with 1 only: fold real ranges"
    with pytest.raises(QuantizationError, match=text):
        lower(graph, get_march("gti5801"))


def test_a_convolution_without_relu_is_refused() -> None:
    network = Chain((2, 2))
    network.relus[0] = torch.nn.Identity()
    with pytest.raises(CaptureError, match=r"convs\.0 .*can be negative, and the march has unsigned values only; put"):
        prepare(network, QConfig(march="gti5801"), pixels(1, *SIZE))


def test_ten_bits_can_only_leave() -> None:
    network = Chain((2, 2))
    qconfig = QConfig(march="gti5801", rules={"convs.0": dict(dtype="int16")})
    with pytest.raises(CaptureError, match=r"convs\.0 .*its result is int16, and the march has uint8 there; give it"):
        prepare(network, qconfig, pixels(1, *SIZE))
