"""Inside the block nothing rounds; outside, the caller's settings are as they were."""

import pytest
import torch
from torch.nn import functional as F

from hatlite.ops.exact import asked_dtype, exact_float32

SETTINGS = (torch.backends.mkldnn.conv, torch.backends.cudnn.conv, torch.backends.cuda.matmul)


def test_autocast_cannot_get_inside() -> None:
    x, w = torch.full((1, 8, 4, 4), 255.0), torch.full((8, 8, 3, 3), 127.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert F.conv2d(x, w).dtype == torch.bfloat16
        with exact_float32():
            y = F.conv2d(x, w)
    assert y.dtype == torch.float32 and (y == 255 * 127 * 72).all()


def test_what_autocast_asked_for_is_known_inside_and_forgotten_behind() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    with torch.autocast("cpu", torch.bfloat16):
        with exact_float32(), exact_float32():
            assert (asked_dtype(cpu), asked_dtype(cuda)) == (torch.bfloat16, None)
        with torch.autocast("cpu", enabled=False), exact_float32():
            assert asked_dtype(cpu) is None
    with exact_float32():
        assert asked_dtype(cpu) is None


def test_reduced_precision_is_off_inside_and_restored_behind() -> None:
    before = [setting.fp32_precision for setting in SETTINGS]
    try:
        for setting in SETTINGS:
            setting.fp32_precision = "tf32"
        with exact_float32():
            assert {setting.fp32_precision for setting in SETTINGS} == {"ieee"}
        with pytest.raises(RuntimeError, match="in between"), exact_float32():
            raise RuntimeError("in between")
        assert {setting.fp32_precision for setting in SETTINGS} == {"tf32"}
    finally:
        for setting, precision in zip(SETTINGS, before, strict=True):
            setting.fp32_precision = precision
