"""Weights of kind ``kernel3``: one step per kernel, and for each of its weights a sign and 0, 1, 2 or 4 such steps.

A kernel is the window of one output channel on one input channel. Its step is a whole number of steps of the layer, so
that all weights are integers. Everything is computed in float64, sums tap by tap, so that every device makes the same.
"""

from collections.abc import Callable

import torch

from hatlite.march import WEIGHT_KINDS
from hatlite.qparams import int_type

__all__ = ["KERNEL_STEPS", "kernel_reach", "quantize_kernels"]

_KIND = WEIGHT_KINDS["kernel3"]
MAX_STEP = int_type(_KIND.dtype).quant_max // _KIND.levels[-1]
"""Largest step: 4 · 31 is the last multiple that a byte with a sign holds."""
_ROUNDS = 2
"""Of fitting a step to its codes and codes to their step; more change the error by a hundredth of itself."""


def quantize_kernels(unrounded: torch.Tensor, step: str = "mean") -> torch.Tensor:
    """Return a new tensor of weights that are 0, ±1, ±2 or ±4 times the step of their kernel.

    Args:
        unrounded: (O, I, h, w) float32, real weights in steps of the layer.
        step: A key of :data:`KERNEL_STEPS`.

    Returns:
        Integer-valued, like `unrounded`, magnitudes up to 124.
    """
    taps = _taps(unrounded)
    codes, steps = KERNEL_STEPS[step](taps.abs())
    values = codes.mul_(steps).copysign_(taps).permute(1, 2, 0)
    return values.reshape(unrounded.shape).to(unrounded.dtype)


def kernel_reach(weight: torch.Tensor, step: str = "mean") -> torch.Tensor:
    """Return the largest level that a kernel of `weight` (O, I, h, w) can have, real, a scalar float64.

    Args:
        weight: Real weights.
        step: A key of :data:`KERNEL_STEPS`.
    """
    taps = _taps(weight).abs()
    return _KIND.levels[-1] * (_mean(taps) if step == "mean" else _fit(taps)).amax()


def _taps(weight: torch.Tensor) -> torch.Tensor:
    """Return (h·w, O, I) float64."""
    return weight.detach().flatten(2).permute(2, 0, 1).double().contiguous()


def _sum(taps: torch.Tensor) -> torch.Tensor:
    """Return the sum over the first dimension, always in the same order."""
    total = taps[0].clone()
    for tap in taps[1:]:
        total += tap
    return total


def _whole(steps: torch.Tensor) -> torch.Tensor:
    """Return the nearest step that a kernel can have, halves upwards."""
    return steps.add(0.5).floor_().clamp_(max=MAX_STEP)


def _codes(taps: torch.Tensor, steps: torch.Tensor, *limits: float) -> torch.Tensor:
    """Return the codes of magnitudes, which from each limit on, in steps, are the next one."""
    first, second, third = (taps >= steps * limit for limit in limits)
    return first.double().add_(second).add_(third, alpha=2)


def _mean(taps: torch.Tensor) -> torch.Tensor:
    """Return a quarter of the mean magnitude of each kernel."""
    return _sum(taps) / (4 * len(taps))


def _mean_step(taps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The step is a quarter of the mean magnitude m; trunc(|w| / step) is the code, from 3 on 4: nothing exceeds m.

    All zeros have step 0.
    """
    quarters = 4 * len(taps)  # |w| / step = |w| · quarters / sum, without a division
    return _codes(taps * quarters, _sum(taps), 1, 2, 3), _whole(_mean(taps))


def _fit(taps: torch.Tensor) -> torch.Tensor:
    """Return real steps: codes are the nearest, the step is that of least squares, in turns from max|w| / 4 on."""
    steps = taps.amax(0) / 4
    for _ in range(_ROUNDS):
        codes = _nearest(taps, steps)
        steps = _sum(codes * taps) / _sum(codes * codes).clamp_min_(1)
    return steps


def _fitted_step(taps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the better of the two whole steps around the fitted one; a search among all steps is hardly better."""
    below = _fit(taps).floor_()
    below, above = below.clamp(1, MAX_STEP), below.add(1).clamp_(1, MAX_STEP)
    steps = torch.where(_error(taps, above) < _error(taps, below), above, below)
    return _nearest(taps, steps), steps


def _nearest(taps: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    return _codes(taps, steps, 0.5, 1.5, 3)


def _error(taps: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    return _sum((taps - _nearest(taps, steps) * steps).square_())


KERNEL_STEPS: dict[str, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "mean": _mean_step,
    "mse": _fitted_step,
}
"""How the step of a kernel is found: (h·w, O, I) magnitudes → codes like these, and steps (O, I)."""
