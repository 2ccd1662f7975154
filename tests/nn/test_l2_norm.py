"""L2Norm: by hand, and why integers refuse it."""

import pytest
import torch
from torch import nn

from hatlite.errors import CaptureError
from hatlite.nn import DeQuantStub, L2Norm, QuantStub
from hatlite.quantization import QConfig, prepare


def test_every_pixel_has_one_length():
    norm = L2Norm(2, 20.0)
    x = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    assert norm(x).flatten(1).tolist()[0] == pytest.approx([12, 0, 16, 0])
    norm.weight.data = torch.tensor([1.0, 10.0])
    assert norm(x)[0, :, 0, 0].tolist() == pytest.approx([0.6, 8.0])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.conv, self.l2_norm, self.dequant = (
            QuantStub(1 / 128),
            nn.Conv2d(3, 4, 3),
            L2Norm(4),
            DeQuantStub(),
        )

    def forward(self, x):
        return {"out": self.dequant(self.l2_norm(self.conv(self.quant(x))))}


def test_it_has_no_integer_form():
    text = r"^l2_norm \(tests/nn/test_l2_norm.py:\d+\): L2Norm has no integer form; leave it out \(SSDNeck: l2_norm_sca"
    with pytest.raises(CaptureError, match=text):
        prepare(Small(), QConfig(), torch.zeros(1, 3, 8, 8))
