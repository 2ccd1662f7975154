"""Names of torchvision's classifiers, compared with torchvision's own modules."""

import pytest
import torch
from networks import disturbed
from torchvision import models

from hatlite.errors import CheckpointError
from hatlite.models.backbones.efficientnet import EfficientNet, _from_torchvision

SAME = {"include_top": True, "use_se_block": True, "activation": "swish"}
"""What makes the network compute what torchvision's does."""


def classifier(kind="b0"):
    return getattr(models, f"efficientnet_{kind}")(weights=None)


@pytest.mark.parametrize("kind", ["b0", "b1", "b2", "b3", "b4"])
def test_every_name_and_shape_has_its_counterpart(kind):
    with torch.device("meta"):
        theirs, ours = classifier(kind), EfficientNet(kind, **SAME)
    renamed = {_from_torchvision(name): value.shape for name, value in theirs.state_dict().items()}
    assert len(renamed) == len(theirs.state_dict())
    assert renamed == {name: value.shape for name, value in ours.state_dict().items()}


@pytest.mark.parametrize("kind", ["b0", "b2"])
def test_the_same_weights_give_the_same_logits(kind):
    theirs, ours = disturbed(classifier(kind)), EfficientNet(kind, **SAME).eval()
    img = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert not torch.equal(ours(img), theirs(img))
        assert ours.load_torchvision(theirs.state_dict()) == []
        assert torch.equal(ours(img), theirs(img))


def test_without_squeeze_and_classifier_all_others_are_taken():
    theirs, ours = disturbed(classifier()), EfficientNet("b0")
    left = ours.load_torchvision(theirs.state_dict())
    assert (
        len(left) == 16 * 4 + 8
    )  # squeeze-and-excitation of 16 blocks; the last convolution, its norm, the classifier
    assert all(".fc" in name or name.startswith(("features.8.", "classifier.")) for name in left)
    own = ours.state_dict()
    taken = {name: value for name, value in theirs.state_dict().items() if name not in left}
    assert len(taken) == len(own)
    assert all(torch.equal(own[_from_torchvision(name)], value) for name, value in taken.items())


@pytest.mark.parametrize(
    ("mine", "weights", "problem"),
    [
        ("b1", lambda: classifier("b0").state_dict(), r"efficientnet_b1: it lacks stages\.0\.1\..* and \d+ more"),
        (
            "b0",
            lambda: classifier("b1").state_dict(),
            r"efficientnet_b0: it has unknown features\.1\.1\.block\.0\.0\.weight",
        ),
        ("b2", lambda: classifier("b1").state_dict(), r"other shapes for features\.\d.* \[\d+.*\] instead of \["),
        ("b0", lambda: {**classifier().state_dict(), "features.1.0.block.3.0.weight": torch.ones(1)}, "has unknown"),
        ("b0", dict, r"it lacks stem\.conv\.weight"),
    ],
)
def test_weights_of_another_network_are_refused_in_a_sentence(mine, weights, problem):
    with torch.device("meta"):
        given = weights()
    ours = EfficientNet(mine)
    before = ours.stem.conv.weight.clone()
    with pytest.raises(CheckpointError, match=rf"^x\.pth does not fit torchvision's .*{problem}") as told:
        ours.load_torchvision(given, "x.pth")
    assert "Name a file of that network, or remove model['pretrained']." in str(told.value)
    assert torch.equal(ours.stem.conv.weight, before)
