"""Random programs that use every operator, for the tests of whatever runs programs.

Drawn to be hard: odd sizes, dead channels, saturating inputs, unsigned and signed values, 16-bit values in the middle,
16-bit weights where the march has them, raw accumulators at the end.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.march import WEIGHT_KINDS, Arithmetic, get_march
from hatlite.ops.integer.families import family_of
from hatlite.ops.integer.kernel_codes import join_kernel_codes
from hatlite.program.bounds import accumulator_peak
from hatlite.program.constants import Requantize, Source, Weight
from hatlite.program.ops import (
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
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
)
from hatlite.program.program import IntProgram, Port, TensorType
from hatlite.program.shapes import output_shape
from hatlite.qparams import int_range, int_type

__all__ = ["random_inputs", "random_program"]

SCALE = 1 / 128
RARELY = 1 / 8
CHANNELS = 6  # divisible by 2 and 3, so that groups can be drawn


def random_program(
    seed: int, *, length: int = 8, side: int = 13, kinds: Sequence[str] = (), march: str = "bayes-sim"
) -> IntProgram:
    """Return a valid program of about `length` operators with the outputs ``features`` and ``raw``, which is int32.

    Where the march has no raw accumulators, the latter is int16 of the bits that it has.

    Args:
        seed: The same seed gives the same program.
        length: Number of operators before the two at the end.
        side: Largest height and width of the input, in pixels.
        kinds: Operators to draw from; none means all.
        march: Whose arithmetic it has.
    """
    draw = _Drawing(np.random.default_rng(seed), side, get_march(march).arithmetic)
    for kind in draw.rng.choice(list(kinds or DRAWS), size=length):
        DRAWS[kind](draw)
    features = draw.last
    raw = draw.convolution("raw", raw=True)
    outputs = (draw.port("features", features), draw.port("raw", raw))
    ports = (draw.port("img", "img"),)
    metadata = {"seed": seed}
    return IntProgram("random", march, ports, outputs, tuple(draw.ops), draw.values, metadata)


def random_inputs(program: IntProgram, seed: int, batch: int = 1) -> dict[str, NDArray[Any]]:
    """Return inputs that use the whole range; a third of the values are one of its two ends."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for port in program.inputs:
        low, high = program.values[port.value].limits
        shape = (batch, *program.values[port.value].shape)
        values, ends = rng.integers(low, high + 1, shape), rng.choice([low, high], shape)
        inputs[port.name] = np.where(rng.random(shape) < 1 / 3, ends, values).astype(port.dtype)
    return inputs


class _Drawing:
    """A program in the making; each method appends one operator that reads the last value."""

    def __init__(self, rng: np.random.Generator, side: int, arithmetic: Arithmetic) -> None:
        self.rng, self.arithmetic, self.family = rng, arithmetic, family_of(arithmetic)
        height, width = (int(n) for n in rng.integers(3, side + 1, 2))
        self.values: dict[str, TensorType] = {}
        dtypes = [dtype for dtype in ("int8", "uint8") if dtype in arithmetic.activation_dtypes]
        self.declare("img", (height, width, CHANNELS), str(rng.choice(dtypes)))
        self.ops: list[Operator] = []
        self.last = "img"

    @property
    def type(self) -> TensorType:
        return self.values[self.last]

    def port(self, name: str, value: str) -> Port:
        return Port(name, value, self.values[value].dtype, self.values[value].scale)

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.ops)}"

    def append(self, op: Operator, dtype: str, scale: Any = SCALE) -> str:
        shapes = [self.values[name].shape for name in op.inputs]
        self.declare(op.output, output_shape(op, *shapes), dtype, scale)
        self.ops.append(op)
        self.last = op.output
        return op.output

    def declare(self, name: str, shape: tuple[int, int, int], dtype: str, scale: Any = SCALE) -> None:
        self.values[name] = TensorType(shape, dtype, self.arithmetic.unit_scale(dtype) or scale, self.limits(dtype))

    def limits(self, dtype: str) -> tuple[int, int]:
        bits = self.arithmetic.value_bits(dtype)
        return int_range(dtype) if bits is None else (0, 2**bits - 1)

    def common(self, kind: str, *inputs: str) -> dict[str, Any]:
        name = self.name(kind)
        return {"name": name, "inputs": inputs or (self.last,), "output": name, "source": Source(name, "samples.py")}

    def requantize(self, peak: Any, dtype: str, *weights: str, each: bool = False) -> Requantize:
        """A rule under which the larger results saturate and the smaller do not.

        Args:
            peak: Largest accumulators.
            dtype: Of the result.
            weights: Type of the weights, for a layer that has any.
            each: Channel by channel.
        """
        low, high = self.limits(dtype)
        gain = self.rng.uniform(0.5, 8, np.shape(peak)) * high / np.maximum(peak, 1000)  # a dead channel has no peak
        if self.arithmetic.weight_shifts is not None:  # what the weights are worth in steps of the result
            gain = np.maximum(gain, 2.0 ** -self.arithmetic.weight_shifts[1] / (self.arithmetic.unit_scale(dtype) or 1))
        sharing = self.arithmetic.weight_scales
        if "channel" not in sharing and not (each and "depthwise" in sharing):
            gain = gain[:1]
        constants = self.family.quantize_multiplier(gain)
        quant_min = 0 if self.rng.random() < 1 / 4 else low
        bias_bits = self.arithmetic.bias_bits_behind(self.type.dtype, *weights)
        return Requantize(*constants, quant_min, high, bias_bits=bias_bits)

    def dtype(self) -> str:
        drawn = ("int8", "uint8", "uint8", "int16")
        return str(self.rng.choice([dtype for dtype in drawn if dtype in self.arithmetic.activation_dtypes]))

    def weights(self, *shape: int, raw: bool) -> dict[str, Any]:
        """Of any type that the march has; the int32 of a raw accumulator holds no products of 16 by 16 bits."""
        dtypes = self.arithmetic.weight_dtypes
        if len(dtypes) == 1 or (raw and self.type.dtype == "int16"):
            dtype = dtypes[0]
        else:
            dtype = str(self.rng.choice(dtypes))
        low, high = self.arithmetic.weight_range(dtype)
        kind = WEIGHT_KINDS[dtype]
        held: dict[str, Any] = {}
        if kind.levels:
            codes = self.rng.choice(kind.levels, shape) * self.rng.choice([-1, 1], shape)
            values = join_kernel_codes(self.rng.integers(high // kind.levels[-1] + 1, size=(shape[0], shape[3])), codes)
            held = {"encoding": "codebook", "granularity": "per_kernel"}
        else:
            values = self.rng.integers(low, high + 1, shape)
        bias = self.rng.integers(-5000, 5001, shape[0]) * 256 ** (int_type(kind.dtype).bytes - 1)
        dead = self.rng.integers(shape[0])
        values[dead] = bias[dead] = 0
        return {"weight": Weight(values.astype(kind.dtype), **held), "bias": bias}

    def convolution(
        self, kind: str = "conv2d", *, raw: bool = False, linear: bool = False, channels_out: int = CHANNELS
    ) -> str:
        groups = 1 if linear else int(self.rng.choice([1, 2, CHANNELS]))
        kernel = 1 if linear else int(self.rng.choice([1, 3]))
        channels = self.type.shape[2]
        window = {
            "stride": (1, 1) if min(self.type.shape[:2]) < 4 else tuple(self.rng.integers(1, 3, 2).tolist()),
            "dilation": (int(self.rng.integers(1, 3)), 1),
            "padding": (kernel - 1, kernel // 2),
            "groups": groups,
        }
        fields = {
            **self.common(kind),
            **({} if linear else window),
            **self.weights(channels_out, kernel, kernel, channels // groups, raw=raw),
        }
        cls = Linear if linear else Conv2d
        if raw and "int32" in self.arithmetic.output_dtypes:
            return self.append(cls(**fields, requantize=None, activation_min=0), "int32", np.full(CHANNELS, SCALE))
        dtype = "int16" if raw else self.dtype()
        peak = accumulator_peak(cls(**fields, requantize=None), self.type.limits)
        rule = self.requantize(peak, dtype, fields["weight"].dtype, each=groups == channels > 1)
        return self.append(cls(**fields, requantize=rule), dtype)

    def average(self) -> str:
        """A global average pool: a depthwise convolution by 1 with a window as large as the picture."""
        height, width, channels = self.type.shape
        weight = Weight(np.ones((channels, height, width, 1), np.int8))
        fields = {**self.common("conv2d"), "weight": weight, "bias": np.zeros(channels), "groups": channels}
        peak = accumulator_peak(Conv2d(**fields, requantize=None), self.type.limits)
        dtype = self.dtype()
        return self.append(Conv2d(**fields, requantize=self.requantize(peak[:1], dtype)), dtype)

    def addition(self, kind: Callable[..., Add] = Add, name: str = "add") -> str:
        """The last value and another of its shape, or itself."""
        partners = [name for name, value in self.values.items() if value.shape == self.type.shape]
        partner = str(self.rng.choice(partners))
        multiplier_a, multiplier_b, shift = self.family.quantize_add_multipliers(*self.rng.uniform(0.01, 3, 2))
        dtype = self.dtype()
        bias_bits = self.arithmetic.bias_bits_behind(self.type.dtype)
        rule = Requantize(np.array([1]), np.array([shift]), *self.limits(dtype), bias_bits=bias_bits)
        fields = self.common(name, self.last, partner)
        return self.append(kind(**fields, multipliers=(multiplier_a, multiplier_b), requantize=rule), dtype)

    def product(self) -> str:
        """The last value and another of its shape, or one with a value per channel."""
        channels = self.type.shape[2]
        partners = [n for n, value in self.values.items() if value.shape in (self.type.shape, (1, 1, channels))]
        partner = str(self.rng.choice(partners))
        dtype = self.dtype()
        peak = self.type.magnitude * self.values[partner].magnitude
        fields = self.common("mul", self.last, partner)
        return self.append(Mul(**fields, requantize=self.requantize(np.array([peak]), dtype)), dtype)

    def max_pool(self) -> str:
        op = MaxPool2d(**self.common("max_pool2d"), kernel=(3, 2), stride=(1, 2), padding=(1, 1))
        return self.append(op, self.type.dtype)

    def nearest(self) -> str:
        factor = 3 if max(self.type.shape[:2]) < 8 else 1
        return self.append(ResizeNearest(**self.common("resize_nearest"), factor=factor), self.type.dtype)

    def bilinear(self) -> str:
        if max(self.type.shape[:2]) > 16:
            return self.max_pool()
        dtype = self.dtype()
        rule = self.requantize(np.array([16 * self.type.magnitude]), dtype)
        return self.append(ResizeBilinear2x(**self.common("resize_bilinear2x"), requantize=rule), dtype)

    def rescale(self) -> str:
        dtype = self.dtype()
        rule = self.requantize(np.full(self.type.shape[2], self.type.magnitude), dtype)
        return self.append(Rescale(**self.common("rescale"), requantize=rule), dtype)

    def table(self) -> str:
        """Any table at all; behind 16 bits there is none."""
        if int_type(self.type.dtype).bytes > 1:
            return self.rescale()
        dtype = self.dtype()
        low, high = self.limits(dtype)
        table = self.rng.integers(low, high + 1, 256).astype(np.int32)
        return self.append(Lut(**self.common("lut"), table=table), dtype)

    def pad(self) -> str:
        edges = (0, 1, 2, 0) if max(self.type.shape[:2]) < 16 else (0, 0, 0, 0)
        return self.append(Pad(**self.common("pad"), edges=edges), self.type.dtype)

    def slice(self) -> str:
        """Part of the columns, where there are more than three, and of more channels than usual."""
        height, width, channels = self.type.shape
        left, right, every = (int(n) for n in (self.rng.integers(2), self.rng.integers(2), self.rng.integers(1, 3)))
        columns = range(left, width - right, every) if width > 3 else range(width)
        apart = channels // CHANNELS
        first = int(self.rng.integers(apart))
        parts = (range(height), columns, range(first, first + apart * (CHANNELS - 1) + 1, apart))
        start, stop, step = zip(*((part.start, part.stop, part.step) for part in parts), strict=True)
        return self.append(Slice(**self.common("slice"), start=start, stop=stop, step=step), self.type.dtype)

    def depth_to_space(self) -> str:
        """What a transposed convolution becomes."""
        block = (1, 3) if max(self.type.shape[:2]) > 8 else (3, 2)
        if max(self.type.shape[:2]) > 16:
            block = (1, 1)
        self.convolution(channels_out=CHANNELS * block[0] * block[1])
        return self.append(DepthToSpace(**self.common("depth_to_space"), block=block), self.type.dtype)

    def concat(self) -> str:
        """The last value and others of its size and type, or itself; a convolution brings many channels back."""
        if self.type.shape[2] > CHANNELS:
            return self.convolution()
        partners = [
            name
            for name, value in self.values.items()
            if (value.shape, value.dtype) == (self.type.shape, self.type.dtype)
        ]
        chosen = self.rng.choice(partners, self.rng.integers(1, 3)).tolist()
        return self.append(Concat(**self.common("concat", self.last, *chosen)), self.type.dtype)


DRAWS = {
    "conv2d": lambda draw: draw.average() if draw.rng.random() < RARELY else draw.convolution(),
    "linear": lambda draw: draw.convolution("linear", linear=True),
    "add": _Drawing.addition,
    "max_pool2d": _Drawing.max_pool,
    "resize_nearest": _Drawing.nearest,
    "resize_bilinear2x": _Drawing.bilinear,
    "rescale": _Drawing.rescale,
    "concat": _Drawing.concat,
    "sub": lambda draw: draw.addition(Sub, "sub"),
    "mul": _Drawing.product,
    "lut": _Drawing.table,
    "pad": _Drawing.pad,
    "slice": _Drawing.slice,
    "depth_to_space": _Drawing.depth_to_space,
}
