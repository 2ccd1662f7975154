"""What one step of a weight stands for, and how weights become integers, as the arithmetic of the march has it."""

from collections.abc import Callable

import torch

from hatlite.march import Arithmetic
from hatlite.qparams import QParams, int_type
from hatlite.quantization.scale_grid import on_grid

__all__ = ["BIAS_LIMIT", "BIAS_MAX", "WEIGHT_ROUNDINGS", "bias_range", "weight_scales"]

BIAS_MAX = 2**22
"""A weight scale that makes room for its bias keeps it below this, so that bias and products share an accumulator; 256
times that where weights have 16 bits, whose steps are so much finer."""
BIAS_LIMIT = 2 * BIAS_MAX
"""Where such a bias saturates when training moves it on between two refreshes of the scales."""
MIN_WEIGHT_SCALE = 2.0**-40
"""Floor for a channel of a raw output that batch norm has killed: its accumulator is 0 whatever the scale."""
SMALLEST_SHARE = 2.0**-8
"""No channel of a depthwise convolution has a scale finer than this times that of the whole tensor."""


def weight_scales(
    weight: torch.Tensor,
    bias: torch.Tensor,
    input_type: QParams,
    arithmetic: Arithmetic,
    *,
    grid: str,
    depthwise: bool,
) -> torch.Tensor:
    """Return (O,) float64 Sw, numbers of `grid`.

    Args:
        weight: (O, I / groups, h, w) float64, real, batch norm folded in.
        bias: (O,) float64, real.
        input_type: Sx and dtype of the input.
        arithmetic: Its first ``weight_dtypes`` says how many steps there are, its first ``weight_scales`` what shares
            one, its first ``large_biases`` what a bias may ask.
        grid: A key of :data:`~hatlite.quantization.scale_grid.SCALE_GRIDS`.
        depthwise: Whether each output channel reads one input channel.
    """
    _, weight_max = arithmetic.weight_range(arithmetic.weight_dtypes[0])
    scale = weight.abs().flatten(1).amax(1) / arithmetic.steps(weight_max)
    if _makes_room(arithmetic):
        largest = min(_room(arithmetic), _bias_limit(arithmetic, input_type.dtype) - 1)
        scale = torch.maximum(scale, bias.abs() / (input_type.scale * largest))
    sharing, whole = arithmetic.weight_scales[0], scale.amax().expand_as(scale)
    if sharing == "depthwise" and depthwise:
        scale = torch.maximum(scale, whole * SMALLEST_SHARE)
    elif sharing != "channel":
        scale = whole
    return on_grid(scale.clamp_min(MIN_WEIGHT_SCALE), grid)


def bias_range(arithmetic: Arithmetic, dtype: str) -> tuple[int, int]:
    """Return the smallest and the largest bias of a layer that reads values of `dtype`."""
    limit, room = _bias_limit(arithmetic, dtype), 2 * _room(arithmetic)
    return (-room, room) if _makes_room(arithmetic) and limit > room else (-limit, limit - 1)


def _bias_limit(arithmetic: Arithmetic, dtype: str) -> int:
    """Return the magnitude that the bits of a bias end at."""
    return 2 ** (arithmetic.bias_bits_behind(dtype, arithmetic.weight_dtypes[0]) - 1)


def _room(arithmetic: Arithmetic) -> int:
    return BIAS_MAX * 256 ** (int_type(arithmetic.weight_dtypes[0]).bytes - 1)


def _makes_room(arithmetic: Arithmetic) -> bool:
    return arithmetic.large_biases[0] == "reduce_weight_scale"


def _half_away(values: torch.Tensor) -> torch.Tensor:
    """Return the nearest integers; a fraction is exact, so that exactly halves go away from 0."""
    whole = torch.trunc(values)
    return whole.add_(values.sub(whole).mul_(2).trunc_())


WEIGHT_ROUNDINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "half_even": torch.round,
    "half_away": _half_away,
}
"""By the names that :class:`~hatlite.march.Arithmetic` has for them; each makes a new tensor."""
