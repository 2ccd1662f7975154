"""What the arithmetic of a march asks of the constants of an operator: scales, weights, biases, multipliers, shifts.

Rules as in :mod:`hatlite.program.rules`, which lists them with the others.
"""

from collections.abc import Callable, Iterator

import numpy as np

from hatlite.march import WEIGHT_KINDS, Arithmetic
from hatlite.ops.integer.kernel_codes import has_kernel_steps
from hatlite.program.constants import Requantize
from hatlite.program.ops import Add, Conv2d, Linear, Operator
from hatlite.program.program import TensorType

__all__ = ["requantize_fits", "scales_on_grid", "values_in_bits", "weights_in_range"]

Types = list[TensorType]


def scales_on_grid(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """Scales are powers of two, or the one that there is, where the march has no others."""
    for name, value in zip((*op.inputs, op.output), (*inputs, output), strict=True):
        unit = arithmetic.unit_scale(value.dtype)
        if unit is not None and value.scale != unit:
            yield (
                f"{name!r} has the scale {np.max(value.scale):g}; the march has {unit:g} only, as the gain edit"
                " makes it, which folds real ranges into the weights"
            )
        scales = np.atleast_1d(value.scale)
        off = scales[np.frexp(scales)[0] != 0.5]
        if arithmetic.powers_of_two and off.size:
            yield f"{name!r} has the scale {off[0]:g}; the march has powers of two only"


def values_in_bits(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """Values have the bits of the march, where they are fewer than the type has."""
    for name, value in zip((*op.inputs, op.output), (*inputs, output), strict=True):
        bits = arithmetic.value_bits(value.dtype)
        if bits is not None and (value.limits[0] < 0 or value.limits[1] >= 2**bits):
            yield "{!r} reaches from {} to {}; the march has 0…{}".format(name, *value.limits, 2**bits - 1)


def weights_in_range(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """Weights and biases are integers that the march has."""
    if not isinstance(op, (Conv2d, Linear)):
        return
    values, dtype = op.weight.values, op.weight.kind
    if dtype not in arithmetic.weight_dtypes:
        yield f"has weights of {dtype}; the march has {' and '.join(arithmetic.weight_dtypes)}"
        return
    if op.weight.encoding == "codebook" and not has_kernel_steps(values, WEIGHT_KINDS[dtype].levels):
        levels = ", ".join(map(str, WEIGHT_KINDS[dtype].levels))
        yield f"has a kernel whose magnitudes are not {levels} times one step, as those of {dtype} are"
    low, high = arithmetic.weight_range(dtype)
    if values.min() < low or values.max() > high:
        yield f"weights reach from {values.min()} to {values.max()}; the march has {low}…{high}"
    bits = _bias_bits(op, inputs, arithmetic)
    if op.bias.min() < -(2 ** (bits - 1)) or op.bias.max() >= 2 ** (bits - 1):
        factors = inputs[0].dtype + (" and weights of int16" if dtype == "int16" else "")
        yield f"biases reach from {op.bias.min()} to {op.bias.max()}; behind {factors} the march has {bits} bits"


def _bias_bits(op: Operator, inputs: Types, arithmetic: Arithmetic) -> int:
    weights = (op.weight.kind,) if isinstance(op, (Conv2d, Linear)) else ()
    return arithmetic.bias_bits_behind(inputs[0].dtype, *weights)


def requantize_fits(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """Multipliers and shifts are those of the march, one for all channels or one each."""
    rule = getattr(op, "requantize", None)
    if rule is None:
        return
    if rule.multiplier.size not in (1, output.shape[2]):
        yield f"has {rule.multiplier.size} multipliers; expected 1 or {output.shape[2]}"
    bias_bits = _bias_bits(op, inputs, arithmetic)
    if rule.rounding != arithmetic.rounding or rule.bias_bits != bias_bits:
        yield (
            f"rounds {rule.rounding} with a bias of {rule.bias_bits} bits; "
            f"the march rounds {arithmetic.rounding} with {bias_bits}"
        )
    lowest, highest = arithmetic.min_shift, arithmetic.max_shift
    if rule.shift.min() < lowest or rule.shift.max() > highest:
        yield f"shift reaches from {rule.shift.min()} to {rule.shift.max()}; expected {lowest}…{highest}"
        return
    yield from _one_for_the_layer(op, rule, arithmetic)
    yield from _shift_of_weights(rule, output, arithmetic)
    yield from (
        _add_multipliers(op, arithmetic) if isinstance(op, Add) else MULTIPLIERS[arithmetic.family](rule, arithmetic)
    )


def _one_for_the_layer(op: Operator, rule: Requantize, arithmetic: Arithmetic) -> Iterator[str]:
    """Channels differ where the march lets each have a weight scale of its own."""
    depthwise = isinstance(op, Conv2d) and op.weight.values.shape[3] == 1 and op.groups > 1
    several = len(set(zip(rule.multiplier.tolist(), rule.shift.tolist(), strict=True))) > 1
    if several and "channel" not in arithmetic.weight_scales:
        if not (depthwise and "depthwise" in arithmetic.weight_scales):
            yield f"has shifts from {rule.shift.min()} to {rule.shift.max()}; the march has one for all channels here"


def _shift_of_weights(rule: Requantize, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """The machine shifts by the s of a layer's weight scale 2^−s, and by less where results have finer steps than 1."""
    unit = arithmetic.unit_scale(output.dtype)
    if arithmetic.weight_shifts is None or unit is None:
        return
    shift = rule.shift - np.log2(rule.multiplier).astype(np.int64) - int(np.log2(unit))
    lowest, highest = arithmetic.weight_shifts
    if shift.min() < lowest or shift.max() > highest:
        worst = shift.max() if shift.max() > highest else shift.min()
        yield f"has weights in steps of 2^−({worst}); the march has shifts of {lowest}…{highest}"


def _add_multipliers(op: Add, arithmetic: Arithmetic) -> Iterator[str]:
    limit = 2**arithmetic.add_multiplier_bits
    if op.requantize.multiplier.tolist() != [1]:
        yield f"requantises with multiplier {op.requantize.multiplier.tolist()}; expected [1], as Ma and Mb scale"
    if len(op.multipliers) != 2 or not all(isinstance(m, int) and 0 <= m < limit for m in op.multipliers):
        yield f"multipliers are {op.multipliers}; expected two whole numbers of 0…{limit - 1}"
    elif arithmetic.powers_of_two and any(m & (m - 1) for m in op.multipliers):
        yield f"multipliers are {op.multipliers}; the march shifts only, so each is 0 or a power of two"


def _odd_multipliers(rule: Requantize, arithmetic: Arithmetic) -> Iterator[str]:
    low, high = 2 ** (arithmetic.multiplier_bits - 1), 2**arithmetic.multiplier_bits
    wrong = rule.multiplier[(rule.multiplier <= low) | (rule.multiplier >= high) | (rule.multiplier % 2 == 0)]
    if wrong.size:
        yield f"multiplier {wrong[0]} is not an odd number between {low} and {high}"


def _no_multipliers(rule: Requantize, arithmetic: Arithmetic) -> Iterator[str]:
    m, limit = rule.multiplier, 2**arithmetic.multiplier_bits
    wrong = m[(m < 1) | (m >= limit) | (m & (m - 1) != 0) | ((m > 1) & (rule.shift > 0))]
    if wrong.size:
        yield f"multiplier is {wrong[0]}; the march shifts only: 1, or with a shift of 0 a power of two below {limit}"


MULTIPLIERS: dict[str, Callable[[Requantize, Arithmetic], Iterator[str]]] = {
    "multiplier_shift": _odd_multipliers,
    "shift_only": _no_multipliers,
}
"""By arithmetic family."""
