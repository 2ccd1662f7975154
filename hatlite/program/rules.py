"""What must hold for one operator. Each rule yields what is wrong; `verify` adds where.

A rule may rely on the rules before it in :data:`OPERATOR_RULES`.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hatlite.errors import QuantizationError
from hatlite.march import Arithmetic
from hatlite.ops.integer.fixed_point import check_headroom
from hatlite.ops.integer.reference import BILINEAR_KERNEL
from hatlite.program.arithmetic_rules import requantize_fits, scales_on_grid, values_in_bits, weights_in_range
from hatlite.program.bounds import accumulator_peak, add_peak, register_bits
from hatlite.program.ops import (
    OPERATORS,
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
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
)
from hatlite.program.program import TensorType
from hatlite.program.shapes import output_shape
from hatlite.qparams import int_type

__all__ = ["MAX_INTEGERS", "OPERATOR_RULES", "Rule"]

Types = list[TensorType]
Rule = Callable[[Any, Types, TensorType, Arithmetic], Iterator[str]]

MAX_INTEGERS = 2**31 - 1
"""Of one value, for one image; also with the padding that an operator puts around it."""
TABLE_ENTRIES = 256
WIDE_TYPES = ("int16",)
MOVING = (MaxPool2d, ResizeNearest, Concat, Pad, Slice, DepthToSpace)
"""Operators that only move values or choose among them."""


def known_operator(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """The operator exists and reads as many values as it should."""
    if OPERATORS.get(op.kind) is not type(op):
        yield f"operator {type(op).__name__!r} is unknown; this version has {', '.join(OPERATORS)}"
    elif len(inputs) != op.arity if op.arity is not None else not inputs:
        yield f"reads {len(inputs)} values; expected {op.arity or '1 or more'}"


def whole_windows(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """Strides and their kin are whole numbers in range."""
    for field, smallest in (("kernel", 1), ("stride", 1), ("dilation", 1), ("padding", 0), ("block", 1)):
        pair = getattr(op, field, (1, 1))
        if len(pair) != 2 or any(not isinstance(n, int) or n < smallest for n in pair):
            yield f"{field} is {pair}; expected two whole numbers of {smallest} or more"
    if isinstance(op, ResizeNearest) and (not isinstance(op.factor, int) or op.factor < 1):
        yield f"factor is {op.factor}; expected a whole number of 1 or more"
    if isinstance(op, Pad) and (len(op.edges) != 4 or any(not isinstance(n, int) or n < 0 for n in op.edges)):
        yield f"edges are {op.edges}; expected four whole numbers of 0 or more"
    if isinstance(op, MaxPool2d) and any(2 * p > k for p, k in zip(op.padding, op.kernel, strict=True)):
        yield f"padding {op.padding} is more than half the kernel {op.kernel}; a window could hold nothing else"
    if isinstance(op, Slice):
        yield from _slices(op, inputs[0])
    if isinstance(op, DepthToSpace) and (channels := inputs[0].shape[2]) % math.prod(op.block):
        yield f"makes blocks of {op.block} from {channels} channels; expected a multiple of {math.prod(op.block)}"


def _slices(op: Slice, x: TensorType) -> Iterator[str]:
    ends = (op.start, op.stop, op.step)
    if any(len(triple) != 3 or not all(isinstance(n, int) for n in triple) for triple in ends):
        yield f"start, stop and step are {ends}; expected three whole numbers each"
    for axis, size, start, stop, step in zip(("rows", "columns", "channels"), x.shape, *ends, strict=True):
        if not 0 <= start < stop <= size or step < 1:
            yield f"takes the {axis} {start}:{stop}:{step} of {size}; expected 0 ≤ start < stop ≤ {size} and a step ≥ 1"


def padding_is_bounded(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """What a window slides over has no more integers than a value may have; its result can be small all the same."""
    height, width, channels = inputs[0].shape
    above, beside = getattr(op, "padding", (0, 0))
    if (height + 2 * above) * (width + 2 * beside) * channels > MAX_INTEGERS:
        yield f"padding {op.padding} makes {inputs[0].shape} larger than {MAX_INTEGERS} integers"  # type: ignore[attr-defined]


def weights_fit(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """Weights, groups and bias agree with the channels that come in and go out."""
    if not isinstance(op, (Conv2d, Linear)):
        return
    groups = getattr(op, "groups", 1)
    if not isinstance(groups, int) or not _is_clamp(op.activation_min):
        yield f"groups is {groups!r} and activation_min {op.activation_min!r}; expected whole numbers of int32"
    channels_out, *kernel, channels_in = op.weight.values.shape
    if groups < 1 or channels_out % groups or channels_in * groups != inputs[0].shape[2]:
        yield (
            f"weight {op.weight.values.shape} with {groups} groups does not fit an input of "
            f"{inputs[0].shape[2]} channels"
        )
    if isinstance(op, Linear) and kernel != [1, 1]:
        yield f"linear weight has shape {op.weight.values.shape}; expected (O, 1, 1, I)"
    if op.bias.shape != (channels_out,):
        yield f"bias has shape {op.bias.shape}; expected ({channels_out},)"
    if op.requantize is not None and op.activation_min is not None:
        yield "has both requantize and activation_min; the lower clamp belongs into requantize"


def _is_clamp(activation_min: Any) -> bool:
    facts = int_type("int32")
    return activation_min is None or (
        isinstance(activation_min, int) and facts.quant_min <= activation_min <= facts.quant_max
    )


def shapes_agree(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """The output has the shape that the operator gives, and the two values of an add are alike."""
    if isinstance(op, Add) and inputs[0].shape != inputs[1].shape:
        yield f"{op.kind}s {inputs[0].shape} and {inputs[1].shape}; expected one shape"
    if isinstance(op, Mul) and inputs[1].shape not in (inputs[0].shape, (1, 1, inputs[0].shape[2])):
        yield f"multiplies {inputs[0].shape} by {inputs[1].shape}; expected one shape, or (1, 1, C) for the second"
    if isinstance(op, Concat) and len({value.shape[:2] for value in inputs}) > 1:
        yield f"joins {', '.join(str(value.shape) for value in inputs)}; expected one height and one width"
    shape = output_shape(op, *(value.shape for value in inputs))
    if shape != output.shape:
        yield f"gives {shape}, but {op.output!r} is declared as {output.shape}"


def inputs_are_activations(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """An operator reads activations; a raw accumulator only leaves the program or is rescaled."""
    allowed = (*arithmetic.activation_dtypes, "int32") if op.kind == "rescale" else arithmetic.activation_dtypes
    for name, value in zip(op.inputs, inputs, strict=True):
        if value.dtype not in allowed:
            yield f"reads {name!r} of dtype {value.dtype}; expected one of {', '.join(allowed)}"


def output_dtype(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """The declared dtype holds every result; operators that only move values keep dtype and scale."""
    if isinstance(op, MOVING):
        for name, value in zip(op.inputs, inputs, strict=True):
            if (value.dtype, value.scale) != (output.dtype, output.scale):
                yield f"must keep dtype and scale of {name!r}, but {op.output!r} differs"
            elif not _lies_in(value.limits, output.limits):
                yield f"moves {name!r} of {_ends(value)} to {op.output!r}, which has {_ends(output)} only"
    elif isinstance(op, Lut):
        yield from _table(op, inputs[0], output, arithmetic)
    elif (rule := getattr(op, "requantize", None)) is None:
        if output.dtype != "int32":
            yield f"leaves its accumulator, so {op.output!r} must be int32, not {output.dtype}"
    elif output.dtype not in (known := _result_dtypes(arithmetic)):
        yield f"requantises to {output.dtype}; the march has {', '.join(known)}"
    elif not _lies_in((rule.quant_min, rule.quant_max), output.limits):
        yield f"clamps to {rule.quant_min}…{rule.quant_max}, beyond {output.dtype} of {_ends(output)}"


def _result_dtypes(arithmetic: Arithmetic) -> tuple[str, ...]:
    """Return the types that a rounded result can have; some of them can only leave."""
    leaving = (dtype for dtype in arithmetic.output_dtypes if dtype not in (*arithmetic.activation_dtypes, "int32"))
    return (*arithmetic.activation_dtypes, *leaving)


def _lies_in(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _ends(value: TensorType) -> str:
    return "{}…{}".format(*value.limits)


def _table(op: Lut, x: TensorType, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    if int_type(x.dtype).bytes != 1:
        yield f"looks up {x.dtype}; a table of {TABLE_ENTRIES} entries takes int8 or uint8"
    if op.table.shape != (TABLE_ENTRIES,):
        yield f"table has shape {op.table.shape}; expected ({TABLE_ENTRIES},)"
    if output.dtype not in arithmetic.activation_dtypes:
        yield f"gives {output.dtype}; the march has {', '.join(arithmetic.activation_dtypes)}"
    elif not _lies_in((int(op.table.min()), int(op.table.max())), output.limits):
        yield f"table reaches from {op.table.min()} to {op.table.max()}, beyond {output.dtype} of {_ends(output)}"


def scale_length(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """One scale per value; only a raw accumulator may have one per channel."""
    if np.ndim(output.scale) and output.dtype != "int32":
        yield f"{op.output!r} is {output.dtype} with a scale per channel; only int32 may have that"
    elif np.shape(output.scale) not in ((), output.shape[2:]):
        yield f"{op.output!r} has {np.size(output.scale)} scales for {output.shape[2]} channels"


def accumulators_fit(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """No accumulator can overflow, whatever the input; exact, from the actual weights."""
    if not isinstance(op, (Conv2d, Linear)):
        return
    bits = register_bits(op, inputs[0].dtype, arithmetic)
    peaks = accumulator_peak(op, inputs[0].limits)
    if int(peaks.max()) >= 2 ** (bits - 1):
        yield (
            f"channel {peaks.argmax()}: the accumulator can reach {peaks.max()}, beyond int{bits}; give the layer fewer"
            f" input channels, a smaller kernel or more groups{_or_narrower(inputs[0].dtype, op.weight.dtype)}"
        )


def _or_narrower(dtype: str, weight_dtype: str) -> str:
    wide = [what for what, kind in (("inputs", dtype), ("weights", weight_dtype)) if kind in WIDE_TYPES]
    return f", or 8-bit {' and '.join(wide)}" if wide else ""


def headroom(op: Operator, inputs: Types, output: TensorType, arithmetic: Arithmetic) -> Iterator[str]:
    """``|acc| · M + 2^(s−1)`` stays below 2^63."""
    rule = getattr(op, "requantize", None)
    if rule is None:
        return
    try:
        check_headroom(_peak(op, inputs), rule.multiplier, rule.shift)
    except QuantizationError as problem:
        yield f"{str(problem).rstrip('.')}; give the layer fewer inputs per channel, or its result a larger scale"


def _peak(op: Operator, inputs: Types) -> Any:
    if isinstance(op, (Conv2d, Linear)):
        return accumulator_peak(op, inputs[0].limits)
    if isinstance(op, Add):
        return add_peak(op, inputs[0].limits, inputs[1].limits)
    if isinstance(op, Mul):
        return inputs[0].magnitude * inputs[1].magnitude
    gain = int(BILINEAR_KERNEL.sum()) if isinstance(op, ResizeBilinear2x) else 1
    return inputs[0].magnitude * gain


OPERATOR_RULES: tuple[Rule, ...] = (
    known_operator,
    inputs_are_activations,
    whole_windows,
    padding_is_bounded,
    weights_fit,
    shapes_agree,
    scale_length,
    scales_on_grid,
    output_dtype,
    values_in_bits,
    weights_in_range,
    requantize_fits,
    accumulators_fit,
    headroom,
)
"""In an order in which each may rely on the ones before."""
