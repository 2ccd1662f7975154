"""One rule per site type: its constants become one operator."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from hatlite.march import WEIGHT_KINDS, March
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Source,
    Sub,
    Weight,
)
from hatlite.quantization.sites import (
    AddSite,
    AvgPoolSite,
    BilinearSite,
    ConcatSite,
    ConvSite,
    ConvTransposeSite,
    DepthToSpaceSite,
    LutSite,
    MaxPoolSite,
    MulSite,
    NearestSite,
    PadSite,
    RescaleSite,
    Site,
    SliceSite,
    SubSite,
)

__all__ = ["LOWERING_RULES"]


def _common(site: Site) -> dict[str, Any]:
    inputs = tuple(source.name for source in site.inputs)
    return {"name": site.name, "inputs": inputs, "output": site.name, "source": Source(site.path, site.line)}


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _requantize(site: Site, multiplier: torch.Tensor, shift: torch.Tensor, march: March, *weights: str) -> Requantize:
    """`weights` is their type, for a layer that has any."""
    return Requantize(
        multiplier=_numpy(multiplier),
        shift=_numpy(shift),
        rounding=march.arithmetic.rounding,
        quant_min=site.quant_min,
        quant_max=site.quant_max,
        bias_bits=march.arithmetic.bias_bits_behind(site.inputs[0].dtype, *weights),
    )


@torch.no_grad()
def _conv(site: ConvSite, march: March) -> Operator:
    weight, bias = (_numpy(part) for part in site.integers())
    fields = _common(site) | {
        "bias": bias.astype(np.int64),
        "requantize": None if site.raw else _requantize(site, site.multiplier, site.shift, march, site.weight_dtype),
        "activation_min": 0 if site.raw and site.relu else None,
    }
    if isinstance(site.layer, nn.Linear):
        return Linear(weight=_weight(site, weight.transpose(0, 2, 3, 1)), **fields)
    window = dict(zip(("stride", "padding", "dilation", "groups"), site.geometry, strict=True))
    return Conv2d(weight=_weight(site, weight.transpose(0, 2, 3, 1)), **window, **fields)


def _weight(site: ConvSite, values_ohwi: np.ndarray) -> Weight:
    kind = WEIGHT_KINDS[site.weight_dtype]
    held = {"encoding": "codebook", "granularity": "per_kernel"} if kind.levels else {}
    return Weight(values=values_ohwi.astype(kind.dtype), scale=_numpy(site.weight_scale), **held)


def _add(site: AddSite, march: March) -> Operator:
    first, second = (int(m) for m in site.multiplier)
    kind = Sub if isinstance(site, SubSite) else Add
    requantize = _requantize(site, torch.ones(1, dtype=torch.int64), site.shift, march)
    return kind(multipliers=(first, second), requantize=requantize, **_common(site))


def _slice(site: SliceSite, march: March) -> Operator:
    shape = site.inputs[0].shape
    channels, *picture = site.ranges(shape)
    rows, columns = picture or (range(1), range(1))
    start, stop, step = zip(*((part.start, part.stop, part.step) for part in (rows, columns, channels)), strict=True)
    return Slice(start=start, stop=stop, step=step, **_common(site))


def _max_pool(site: MaxPoolSite, march: March) -> Operator:
    return MaxPool2d(kernel=site.kernel_size, stride=site.stride, padding=site.padding, **_common(site))


def _avg_pool(site: AvgPoolSite, march: March) -> Operator:
    channels = site.shape[0]
    scale = _numpy(site.weight_scale).repeat(channels)
    return Conv2d(
        weight=Weight(values=np.full((channels, *site.kernel, 1), site.weight), scale=scale),
        bias=np.zeros(channels, np.int32),
        requantize=_requantize(site, site.multiplier, site.shift, march),
        stride=site.stride,
        padding=site.padding,
        groups=channels,
        **_common(site),
    )


LOWERING_RULES: dict[type[Site], Callable[[Any, March], Operator]] = {
    ConvSite: _conv,
    ConvTransposeSite: _conv,
    AddSite: _add,
    SubSite: _add,
    MulSite: lambda site, march: Mul(requantize=_requantize(site, site.multiplier, site.shift, march), **_common(site)),
    MaxPoolSite: _max_pool,
    AvgPoolSite: _avg_pool,
    NearestSite: lambda site, march: ResizeNearest(factor=site.factor, **_common(site)),
    BilinearSite: lambda site, march: ResizeBilinear2x(
        requantize=_requantize(site, site.multiplier, site.shift, march), **_common(site)
    ),
    LutSite: lambda site, march: Lut(table=_numpy(site.table), **_common(site)),
    SliceSite: _slice,
    DepthToSpaceSite: lambda site, march: DepthToSpace(block=site.block, **_common(site)),
    PadSite: lambda site, march: Pad(edges=site.edges, **_common(site)),
    ConcatSite: lambda site, march: Concat(**_common(site)),
    RescaleSite: lambda site, march: Rescale(
        requantize=_requantize(site, site.multiplier, site.shift, march), **_common(site)
    ),
}
"""One row per site type; a missing row raises with the names that exist."""
