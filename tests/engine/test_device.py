import pytest
import torch

from hatlite.engine.device import place, resolve_device, to_device
from hatlite.errors import ConfigError


def test_none_is_the_cpu():
    assert resolve_device(None) == torch.device("cpu")


def test_an_unknown_device_is_refused():
    with pytest.raises(ConfigError, match="device 'gpu' is not one that torch knows; use 'cpu', 'cuda' or 'cuda:0'"):
        resolve_device("gpu")


def test_cuda_without_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device 'cuda' asks for CUDA, which this torch does not find"):
        resolve_device("cuda")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"device 'cuda:3' does not exist; this machine has 1 GPU"):
        resolve_device("cuda:3")


def test_batches_keep_shapes_and_values_in_either_layout():
    img = torch.arange(24.0).reshape(1, 2, 3, 4)
    boxes = [torch.zeros(2, 4)]
    moved = to_device({"img": img, "gt_bboxes": boxes, "img_name": ["a"]}, torch.device("cpu"), channels_last=True)
    assert torch.equal(moved["img"], img)
    assert moved["img"].stride() == (24, 1, 8, 2)
    assert moved["gt_bboxes"][0].shape == (2, 4)
    assert moved["img_name"] == ["a"]


def test_place_lays_weights_out():
    conv = place(torch.nn.Conv2d(2, 3, 3), torch.device("cpu"), channels_last=True)
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
