"""What is shown is what the network computes, and looking at it changes nothing."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hatlite.engine.callbacks.histograms import SAMPLE, activations, finite_values, gradients, parameters
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.quantization import QConfig, prepare

CPU = torch.device("cpu")
IMG = torch.randint(-128, 128, (2, 3, 6, 6), generator=torch.Generator().manual_seed(3)) / 128


class Twice(nn.Module):
    """One convolution that is called twice, with an in-place ReLU in between."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.conv, self.relu = QuantStub(1 / 128), nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)
        self.dequant = DeQuantStub("int8")

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.dequant(self.conv(self.relu(self.conv(self.quant(img)))))}


def detector(network: nn.Module) -> nn.Module:
    model = nn.Module()
    model.network = network
    return model.train()


def test_a_float_network_shows_what_its_convolutions_return():
    model = detector(Twice())
    found = activations(model, IMG, CPU)
    assert list(found) == ["activations/conv", "activations/conv_2"]
    conv = model.network.conv
    first = F.conv2d(IMG, conv.weight, conv.bias, padding=1)
    second = F.conv2d(first.relu(), conv.weight, conv.bias, padding=1)
    for got, expected in zip(found.values(), (first, second), strict=True):
        torch.testing.assert_close(got.sort().values, expected.detach().flatten().sort().values)
    assert not conv._forward_hooks and model.training and conv.training


def test_a_fake_quant_graph_shows_its_integers():
    model = detector(prepare(Twice().eval(), QConfig(), IMG[:1]))
    with torch.no_grad():
        model.network(IMG)
    model.network.finish_calibration()
    found = activations(model, IMG, CPU)
    assert list(found) == ["activations/conv", "activations/conv_2"]
    integers = list(model.network.integers(IMG).values())[1:]
    for got, expected in zip(found.values(), integers, strict=True):
        assert torch.equal(got.sort().values, expected.detach().flatten().sort().values)


def test_of_many_values_the_same_sample_is_taken_and_no_generator_moves():
    model = detector(Twice())
    img = torch.linspace(-1, 1, 3 * 300 * 300).reshape(1, 3, 300, 300)
    before = torch.get_rng_state()
    first, again = (activations(model, img, CPU)["activations/conv"] for _ in range(2))
    assert first.shape == (SAMPLE,) and torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())
    whole = F.conv2d(img, model.network.conv.weight, model.network.conv.bias, padding=1).detach()
    assert set(first.tolist()) <= set(whole.flatten().tolist())
    torch.testing.assert_close(first.mean(), whole.mean(), atol=0.01, rtol=0)


def test_weights_and_the_gradients_that_are_there():
    model = detector(Twice())
    model.network.conv.weight.grad = torch.full_like(model.network.conv.weight, 2.0)
    assert list(parameters(model)) == ["weights/conv.weight", "weights/conv.bias"]
    found = gradients(model)
    assert list(found) == ["gradients/conv.weight"] and (found["gradients/conv.weight"] == 2).all()


def test_what_is_not_finite_is_left_out():
    values = torch.tensor([[1.0, float("nan")], [float("-inf"), 2.0]])
    np.testing.assert_array_equal(finite_values(values), [1.0, 2.0])
    assert finite_values(torch.tensor(float("inf"))).size == 0
