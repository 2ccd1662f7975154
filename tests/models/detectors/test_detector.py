"""Detector: what a small one of one's own gets from the base, and what the base refuses."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError, DataError
from hatlite.models.detectors.detector import Detector
from hatlite.models.losses import CrossEntropyLossV2


class Part(nn.Module):
    """Backbone, neck and head in one: hands on what it gets."""

    num_classes, out_strides, size_divisor = 2, (4,), 8
    stride2channels, output_strides = {4: 3}, {"x_s4": 4}

    def bind(self, stride2channels):
        pass

    def forward(self, x):
        return x


class Head(Part):
    def forward(self, x):
        return {"x_s4": x.half()}


class Own(Detector):
    """Its two losses are the mean and the sum of the output."""

    def __init__(self, targets=None, post_process=None, **losses):
        super().__init__(Part(), Part(), Head(), targets, post_process, losses=losses, pretrained="file")

    def bind_parts(self, head):
        self.bound = head

    def losses_of(self, outputs, batch):
        return {"loss_b": outputs["x_s4"].sum(), "loss_a": outputs["x_s4"].mean()}


BATCH = {"img": torch.ones(1, 3, 8, 16)}


def losses(**changes):
    named = {"loss_a": CrossEntropyLossV2(loss_name="first"), "loss_b": CrossEntropyLossV2(loss_name="second")}
    return {**named, **changes}


def test_losses_in_train_mode_by_name_and_in_order():
    detector = Own(targets=nn.Identity(), **losses())
    values = detector(BATCH)
    assert list(values) == ["first", "second"]
    assert values["second"].item() == 3 * 8 * 16
    assert values["first"].dtype == torch.float32
    assert (detector.num_classes, detector.strides, detector.pretrained) == (2, (4,), "file")
    assert detector.bound is detector.network.head


def test_objects_in_eval_mode():
    class Decoder(nn.Module):
        def forward(self, outputs, batch):
            return [(name, x.dtype) for name, x in outputs.items()]

    assert Own(post_process=Decoder(), **losses()).eval()(BATCH) == [("x_s4", torch.float32)]


def test_what_was_left_out_is_named():
    with pytest.raises(BuildError, match="Own: losses need targets and loss_a, loss_b in the model; they were left"):
        Own(**losses())(BATCH)
    with pytest.raises(BuildError, match=r"Own: detection needs post_process=dict\(…\) in the model; it was left out"):
        Own(**losses()).eval()(BATCH)
    with pytest.raises(BuildError, match="Own: targets is given but loss_b is not; training needs all of loss_a, lo"):
        Own(targets=nn.Identity(), **losses(loss_b=None))


def test_losses_are_one_number_each_and_have_names_of_their_own():
    with pytest.raises(BuildError, match="Own: loss_b.reduction is 'none', but a loss must be one number; set it to"):
        Own(targets=nn.Identity(), **losses(loss_b=CrossEntropyLossV2(reduction="none")))
    with pytest.raises(BuildError, match="Own: the loss_name of loss_a, loss_b are first, first; they must differ"):
        Own(targets=nn.Identity(), **losses(loss_b=CrossEntropyLossV2(loss_name="first")))


class Terms(nn.Module):
    reduction, loss_names = "mean", ("first", "third")


def test_a_loss_may_have_several_terms():
    class Split(Own):
        def losses_of(self, outputs, batch):
            return {"loss_a": {"first": outputs["x_s4"].mean(), "third": outputs["x_s4"].max()}, "loss_b": 2.0}

    detector = Split(targets=nn.Identity(), **losses(loss_a=Terms()))
    assert list(detector(BATCH)) == ["first", "third", "second"]
    with pytest.raises(BuildError, match="the loss_name of loss_a, loss_b are first, third, third; they must differ"):
        Split(targets=nn.Identity(), **losses(loss_a=Terms(), loss_b=CrossEntropyLossV2(loss_name="third")))


def test_sides_fit_the_neck():
    with pytest.raises(DataError, match=r"Own: img is 8×12 .*multiples of 8, .* resizes; set Pad's divisor to 8"):
        Own(**losses())({"img": torch.ones(1, 3, 8, 12)})
