"""What one step of a weight stands for, and how weights become integers, as the arithmetic of the march has it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from hatlite.errors import QuantizationError
from hatlite.march import WEIGHT_KINDS, Arithmetic
from hatlite.qparams import QParams, int_type
from hatlite.quantization.kernel_codes import KERNEL_STEPS, kernel_reach, quantize_kernels
from hatlite.quantization.scale_grid import on_grid

__all__ = ["BIAS_LIMIT", "BIAS_MAX", "WEIGHT_ROUNDINGS", "WeightRule", "bias_range", "weight_scales"]

BIAS_MAX = 2**22
"""A weight scale that makes room for its bias keeps it below this, so that bias and products share an accumulator; 256
times that where weights have 16 bits, whose steps are so much finer."""
BIAS_LIMIT = 2 * BIAS_MAX
"""Where such a bias saturates when training moves it on between two refreshes of the scales."""
MIN_WEIGHT_SCALE = 2.0**-40
"""Floor for a channel of a raw output that batch norm has killed: its accumulator is 0 whatever the scale."""
SMALLEST_SHARE = 2.0**-8
"""No channel of a depthwise convolution has a scale finer than this times that of the whole tensor."""
SHIFT_MARGIN = 1e-6
"""What is added to a magnitude before it is asked how far it can be shifted."""
MUCH = 4 / 3
"""Weights that could be this much larger fit a finer scale clearly."""
SHIFT_SOURCES = ("weights", "codes")


@dataclass(frozen=True)
class WeightRule:
    """How real weights become integers, where kind and march leave a choice.

    Attributes:
        step: Of weights of kind ``kernel3``, how the step of a kernel is found: ``mean``, a quarter of its mean
            magnitude, beyond which nothing reaches, or ``mse``, the step of least squared error.
        shift: Where a layer's scale is 2^−s, whether the largest of its real ``weights`` decides about s, or the
            largest level that its ``codes`` can say, which lies below and so may leave finer steps.
        shift_hysteresis: Keep s at a refresh unless weights or biases leave its range, or would fit a larger one even
            if they were a third larger, so that it does not oscillate.
    """

    step: str = "mean"
    shift: str = "weights"
    shift_hysteresis: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("step", tuple(KERNEL_STEPS)),
            ("shift", SHIFT_SOURCES),
            ("shift_hysteresis", (False, True)),
        ):
            value = getattr(self, name)
            if value not in known or type(value) is not type(known[0]):
                expected = " or ".join(map(repr, known))
                raise QuantizationError(f"config['qconfig']['weight'][{name!r}] is {value!r}; expected {expected}.")

    def rounding(self, arithmetic: Arithmetic) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what makes integers of weights (O, I / groups, h, w) in steps of their scale, as a new tensor."""
        if WEIGHT_KINDS[arithmetic.weight_dtypes[0]].levels:
            return partial(quantize_kernels, step=self.step)
        return WEIGHT_ROUNDINGS[arithmetic.weight_rounding]

    def reach(self, weight: torch.Tensor, arithmetic: Arithmetic) -> torch.Tensor:
        """Return the magnitude that integers must be able to say, a scalar float64."""
        if self.shift == "codes" and WEIGHT_KINDS[arithmetic.weight_dtypes[0]].levels:
            return kernel_reach(weight, self.step)
        return weight.abs().amax()


def weight_scales(
    weight: torch.Tensor,
    bias: torch.Tensor,
    input_type: QParams,
    arithmetic: Arithmetic,
    *,
    grid: str,
    depthwise: bool,
    rule: WeightRule | None = None,
    last: torch.Tensor | None = None,
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
        rule: What kind and march leave open.
        last: (O,) float64, the scales of the last refresh; NaN or None where there are none.
    """
    if arithmetic.weight_shifts is not None:
        shift = _weight_shift(weight, bias / input_type.scale, arithmetic, rule or WeightRule(), last)
        return torch.ldexp(bias.new_ones(()), -shift).expand(len(bias))
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


def _weight_shift(
    weight: torch.Tensor, bias: torch.Tensor, arithmetic: Arithmetic, rule: WeightRule, last: torch.Tensor | None
) -> torch.Tensor:
    """Return the largest s of the march that weights and biases, the latter in steps of the input, leave.

    It is trunc(log2(range / (largest + 10^−6))), read from the exponent of a float64: one number on every device.
    """
    facts = WEIGHT_KINDS[arithmetic.weight_dtypes[0]].dtype
    limits = int_type(facts).quant_max, 2 ** (arithmetic.bias_bits - 1) - 1
    reach = rule.reach(weight, arithmetic), bias.abs().amax()

    def fitting(margin: float) -> torch.Tensor:
        quotients = (limit / (value * margin + SHIFT_MARGIN) for limit, value in zip(limits, reach, strict=True))
        exponents = [torch.frexp(quotient).exponent - 1 for quotient in quotients]
        return torch.minimum(*exponents).clamp(*arithmetic.weight_shifts)

    shift = fitting(1.0)
    if not rule.shift_hysteresis or last is None or bool(torch.isnan(last[0])):
        return shift
    held = 1 - torch.frexp(last[0]).exponent
    return torch.minimum(shift, torch.maximum(held, fitting(MUCH)))


def bias_range(arithmetic: Arithmetic, dtype: str) -> tuple[int, int]:
    """Return the smallest and the largest bias of a layer that reads values of `dtype`."""
    limit, room = _bias_limit(arithmetic, dtype), 2 * _room(arithmetic)
    return (-room, room) if _makes_room(arithmetic) and limit > room else (-limit, limit - 1)


def _bias_limit(arithmetic: Arithmetic, dtype: str) -> int:
    """Return the magnitude that the bits of a bias end at."""
    return 2 ** (arithmetic.bias_bits_behind(dtype, arithmetic.weight_dtypes[0]) - 1)


def _room(arithmetic: Arithmetic) -> int:
    return BIAS_MAX * 256 ** (int_type(WEIGHT_KINDS[arithmetic.weight_dtypes[0]].dtype).bytes - 1)


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
