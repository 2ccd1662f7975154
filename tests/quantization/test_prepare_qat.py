import pytest
import torch
from networks import ProofNetwork, images
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.nn import Quantizable
from hatlite.quantization import FakeQuantGraph, QConfig, prepare_qat

IMG = images(2, 36, 52)


class Detector(Quantizable, nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = ProofNetwork()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network(img)


def requested(qconfig: QConfig | None = None) -> Detector:
    model = Detector()
    model.fuse_model()
    model.set_qconfig(qconfig)
    return model


def test_the_three_lines_leave_the_callers_object_usable():
    model = requested()
    model.deploy_inputs = {"img": IMG}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model.eval()(IMG)
    assert prepare_qat(model, inplace=True) is model
    assert isinstance(model.network, FakeQuantGraph)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    added = after.keys() - before.keys()
    assert added and all(name.startswith("network.sites.") for name in added)
    for mode in (True, False):
        outputs = model.train(mode)(IMG)
        assert outputs.keys() == expected.keys()
        sum(value.sum() for value in outputs.values()).backward()
    model.network.finish_calibration()
    sum(value.sum() for value in model.train()(IMG).values()).backward()
    assert model.eval()(IMG).keys() == expected.keys()


def test_a_copy_leaves_the_original_alone():
    model = requested()
    changed = prepare_qat(model, inplace=False, deploy_inputs=IMG[:1])
    assert isinstance(changed.network, FakeQuantGraph)
    assert isinstance(model.network, ProofNetwork)


def test_the_qconfig_that_was_set_counts():
    model = prepare_qat(requested(QConfig(rules={"type:Conv2d": {"dtype": "int16"}})), deploy_inputs=IMG[:1])
    assert "int16" in {site.dtype for site in model.network.sites.values()}
    assert model.fuse_requested


def test_without_the_two_calls_there_is_a_sentence():
    model = Detector()
    with pytest.raises(QuantizationError, match=r"has not had fuse_model\(\) and set_qconfig\(\); call model.fuse_mod"):
        prepare_qat(model, deploy_inputs=IMG)
    model.fuse_model()
    with pytest.raises(QuantizationError, match=r"Detector has not had set_qconfig\(\); call"):
        prepare_qat(model, deploy_inputs=IMG)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (None, "was given none; set model.deploy_inputs = dict"),
        ({}, "was given none; set"),
        ({"img": IMG, "b": IMG}, "given 2 of them, which are not one tensor"),
        (IMG[0], "given 1 of them, which are not one tensor of four dimensions"),
    ],
)
def test_without_an_example_there_is_a_sentence(inputs, found):
    with pytest.raises(QuantizationError, match=f"needs an example of the input of Detector and .*{found}"):
        prepare_qat(requested(), deploy_inputs=inputs)


def test_twice_is_a_sentence():
    model = prepare_qat(requested(), deploy_inputs=IMG)
    with pytest.raises(QuantizationError, match="This Detector was prepared before; build it anew to prepare it again"):
        prepare_qat(model, deploy_inputs=IMG)


def test_a_bare_network_is_pointed_to_prepare():
    with pytest.raises(QuantizationError, match="replaces model.network, which Linear does not have; .* call prepare"):
        prepare_qat(nn.Linear(2, 2))
