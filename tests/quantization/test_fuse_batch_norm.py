import copy

import pytest
import torch
from chain_networks import ChainNetwork, five_bit_images
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.quantization import fold_state, fuse_batch_norms

OUTPUT = "cls_logits_s1"


def trained(**more: object) -> ChainNetwork:
    network = ChainNetwork(batch_norm=True)
    with torch.no_grad():
        for part in (network.bn0.running_mean, network.bn0.weight, network.bn0.bias):
            part.uniform_(0.2, 1.0)
        network.bn0.running_var.uniform_(0.5, 4.0)
    return network.eval()


def test_the_network_computes_what_it_computed_without_its_batch_norm() -> None:
    network, img = trained(), five_bit_images(2)
    before = network(img)[OUTPUT]
    (norm,) = fuse_batch_norms(network)
    assert (norm.layer, norm.norm) == ("conv0", "bn0") and not any("bn0" in name for name in network.state_dict())
    torch.testing.assert_close(network(img)[OUTPUT], before, rtol=1e-5, atol=1e-6)
    assert fuse_batch_norms(network) == ()


def test_weights_from_before_are_folded_alike() -> None:
    network = trained()
    before = {f"network.{name}": value for name, value in copy.deepcopy(network.state_dict()).items()}
    norms = fuse_batch_norms(network)
    folded = fold_state(before, norms, "network.")
    assert folded.keys() == {f"network.{name}" for name in network.state_dict()}
    for name, value in network.state_dict().items():
        assert torch.equal(folded[f"network.{name}"], value)
    assert fold_state(folded, norms, "network.").keys() == folded.keys()  # nothing is left to fold


class Shared(nn.Module):
    def __init__(self, kind: type, twice: bool) -> None:
        super().__init__()
        self.quant, self.conv, self.relu = QuantStub(1.0), kind(3, 3, 3, padding=1, bias=False), nn.ReLU()
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(1 + twice))
        self.dequant = DeQuantStub()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.quant(img)
        for norm in self.norms:
            x = self.relu(norm(self.conv(x)))
        return {"out": self.dequant(x)}


@pytest.mark.parametrize(
    ("kind", "twice", "text"),
    [(nn.Conv2d, True, "is called more than once"), (nn.ConvTranspose2d, False, "is transposed")],
)
def test_a_layer_that_cannot_take_it_is_told(kind: type, twice: bool, text: str) -> None:
    with pytest.raises(QuantizationError, match=rf"conv \(.*\) {text}, so that the batch norm behind it cannot become"):
        fuse_batch_norms(Shared(kind, twice))


def test_a_layer_without_bias_gets_one() -> None:
    network, img = Shared(nn.Conv2d, False).double().eval(), five_bit_images(1).double()
    before = network(img)["out"]
    fuse_batch_norms(network)
    assert network.conv.bias is not None
    torch.testing.assert_close(network(img)["out"], before, rtol=1e-5, atol=1e-6)
