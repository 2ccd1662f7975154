"""ONNX nodes that compute on integers alone: sums of products, and the definition's way from them to a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hatlite.export.onnx_graph import OnnxGraph
from hatlite.export.proof import Convolution
from hatlite.ops.integer.engine_rules import zero_point
from hatlite.ops.integer.fixed_point import half_of
from hatlite.program import Requantize
from hatlite.qparams import int_range, int_type

__all__ = ["STORAGE", "Term", "convolve", "product", "requantize"]

STORAGE: dict[str, type[np.generic]] = {"int8": np.uint8, "uint8": np.uint8, "int16": np.int32, "int32": np.int32}
"""Type of a value of the program → type of the tensor that carries it."""

LOW_BYTE = 256
LARGEST_SUM = (2**31 - 1) // (LOW_BYTE - 1) - (LOW_BYTE - 1)
"""Of |weights|: with one tap more, their products with any bytes still fit an int32."""


@dataclass(frozen=True)
class Term:
    """``(tensor − zero) · multiplier`` in a sum that is rounded; multiplier and peak are () or (C,).

    Attributes:
        tensor: Of integers.
        multiplier: Of either sign.
        zero: What stands for 0 in the tensor.
        peak: Largest absolute value of the tensor.
    """

    tensor: str
    multiplier: ArrayLike
    zero: int
    peak: ArrayLike

    @classmethod
    def of(cls, tensor: str, multiplier: ArrayLike, dtype: str) -> "Term":
        """A value of the program, as a tensor carries it."""
        return cls(tensor, multiplier, zero_point(dtype), int_type(dtype).magnitude + zero_point(dtype))


def _column(values: ArrayLike) -> NDArray[np.int64]:
    """Channels in the second axis."""
    return np.asarray(values, np.int64).reshape(-1, 1, 1)


def requantize(graph: OnnxGraph, terms: Sequence[Term], rule: Requantize, dtype: str) -> str:
    """Append ``clamp((Σ (tensor − zero) · M + 2^(s−1)) >> s)``.

    quant_min · 2^s is taken away before the shift: what would be negative is below the clamp, and the rest can be
    shifted as an unsigned number. No Max or Clip touches an int64: ONNX Runtime compares only their lower halves on
    some x86 builds (microsoft/onnxruntime#32475).

    Args:
        graph: To append to.
        terms: With their multipliers M; those of `rule` do not count.
        rule: Shifts s and clamp.
        dtype: Of the result in the program.
    """
    shift = _column(rule.shift)
    constant = half_of(shift) - (np.int64(rule.quant_min) << shift)
    peak = np.abs(constant)
    for term in terms:
        constant = constant - _column(term.multiplier) * term.zero
        peak = peak + _column(term.peak) * np.abs(_column(term.multiplier))
    narrow = int(peak.max()) < 2**31
    signed, unsigned = (np.int32, np.uint32) if narrow else (np.int64, np.uint64)
    total: str | NDArray[Any] = constant.astype(signed)
    for term in terms:
        scaled = graph.cast(term.tensor, signed)
        if not np.array_equal(term.multiplier, 1):
            scaled = graph.node("Mul", scaled, _column(term.multiplier).astype(signed))
        total = graph.node("Add", scaled, total)
    positive = graph.node("Where", graph.node("Greater", total, signed(0)), total, signed(0))
    shifted = graph.node("BitShift", graph.cast(positive, unsigned), shift.astype(unsigned), direction="RIGHT")
    level = graph.node("Clip", shifted, "", unsigned(rule.quant_max - rule.quant_min))
    offset = rule.quant_min + zero_point(dtype)
    if offset:
        level = graph.node("Add", graph.cast(level, np.int32), np.int32(offset))
    return graph.cast(level, STORAGE[dtype])


def product(graph: OnnxGraph, pair: Sequence[tuple[str, str]], multiplier: ArrayLike) -> Term:
    """Append the product of two values of the program, which an int32 holds: 2^15 · 2^15 at most.

    Args:
        graph: To append to.
        pair: (tensor, dtype in the program) each.
        multiplier: Of the product, for the sum that it goes into.
    """
    factors = []
    for tensor, dtype in pair:
        q, zero = graph.cast(tensor, np.int32), zero_point(dtype)
        factors.append(graph.node("Sub", q, np.int32(zero)) if zero else q)
    peak = int_type(pair[0][1]).magnitude * int_type(pair[1][1]).magnitude
    return Term(graph.node("Mul", *factors), multiplier, 0, peak)


def convolve(graph: OnnxGraph, conv: Convolution, x: str, dtype: str) -> tuple[str, type[np.generic]]:
    """Append the sums of products and the bias; return them and their type.

    Args:
        graph: To append to.
        conv: Weights, bias and window.
        x: Tensor that carries the input.
        dtype: Of the input in the program.
    """
    bias = _column(conv.bias)
    if dtype != "int16" and conv.weight.dtype == np.int8:
        sums = graph.node("ConvInteger", x, conv.weight, np.uint8(zero_point(dtype)), **conv.window)
        return graph.node("Add", sums, bias.astype(np.int32)), np.int32
    total: str | NDArray[np.int64] = bias
    values = _bytes_of(graph, x, dtype)
    for weight, worth in _weight_bytes(conv.weight):
        for part in _parts(weight):
            for value, zero, factor in values:
                sums = graph.node("ConvInteger", value, part, np.uint8(zero), **conv.window)
                sums = graph.cast(sums, np.int64)
                if worth * factor != 1:
                    sums = graph.node("Mul", sums, np.int64(worth * factor))
                total = graph.node("Add", sums, total)
    return str(total), np.int64


def _bytes_of(graph: OnnxGraph, x: str, dtype: str) -> list[tuple[str, int, int]]:
    """Append what takes a value apart; return its bytes, each with what stands for 0 in it and what it counts for."""
    if dtype != "int16":
        return [(x, zero_point(dtype), 1)]
    unsigned = graph.cast(graph.node("Add", x, np.int32(-int_range(dtype)[0])), np.uint32)
    high = graph.cast(graph.node("BitShift", unsigned, np.uint32(8), direction="RIGHT"), np.uint8)
    low = graph.cast(graph.node("Mod", unsigned, np.uint32(LOW_BYTE)), np.uint8)
    return [(high, 128, LOW_BYTE), (low, 0, 1)]


def _weight_bytes(weight: NDArray[Any]) -> list[tuple[NDArray[Any], int]]:
    """Return 8-bit weights, each with what it counts for: of 16 bits the signed high and the unsigned low bytes."""
    if weight.dtype == np.int8:
        return [(weight, 1)]
    return [((weight >> 8).astype(np.int8), LOW_BYTE), ((weight & 255).astype(np.uint8), 1)]


def _parts(weight: NDArray[Any]) -> list[NDArray[Any]]:
    """Return weights that sum up to `weight`, each with so few taps other than 0 that no sum of bytes overflows."""
    sums = np.cumsum(np.abs(weight.astype(np.int64)).reshape(len(weight), -1), axis=1)
    part = (np.maximum(sums - 1, 0) // LARGEST_SUM).reshape(weight.shape)
    return [np.where(part == number, weight, weight.dtype.type(0)) for number in range(int(part.max()) + 1)]
