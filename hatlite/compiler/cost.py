"""The model: an operator takes op_overhead_cycles + max(compute_cycles, memory_cycles), and one follows the other.

It is a roofline (Williams et al. 2009, doi:10.1145/1498765.1498785). Every operator loads its inputs and constants from
the memory outside and stores its output there: nothing stays on the chip yet, so a compiler can only be faster. One
image a run.

- Compute: convolutions and linear layers fill the array in steps of (pixels, input channels, output channels); what a
  step does not fill is lost. A depthwise convolution leaves the input-channel lanes idle. Everything else runs on the
  vector unit, one tap of one output value per lane and cycle.
- Memory: bytes / (dram_bytes_per_second / clock_hz), both directions together.
- MACs are those of convolutions and linear layers; 1 MAC is 2 operations.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from hatlite.errors import ProgramError
from hatlite.march import WEIGHT_KINDS, March
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    IntProgram,
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
    Sub,
    TensorType,
)
from hatlite.qparams import int_type

__all__ = ["CYCLES", "LayerCost", "layer_cost"]

BILINEAR_TAPS = 9  # the 3 × 3 window [1 2 1] ⊗ [1 2 1]
MULTIPLIER_BYTES = {"multiplier_shift": 2, "shift_only": 0}  # 15 bits; none where the march only shifts
SHIFT_BYTES = 1  # 0…46


@dataclass(frozen=True)
class LayerCost:
    """What one operator costs for one image.

    Attributes:
        name: Name of the operator.
        kind: Kind of the operator.
        module: Module path in the network.
        line: Source line of the call.
        output_shape: (H, W, C).
        macs: Multiply-accumulates.
        loaded_bytes: Inputs and constants.
        stored_bytes: Output.
        compute_cycles: Cycles of the array or the vector unit.
        memory_cycles: Cycles of loading and storing.
        total_cycles: Overhead and the larger of the two.
        utilization: macs / (total_cycles · macs_per_cycle), 0…1.
    """

    name: str
    kind: str
    module: str
    line: str
    output_shape: tuple[int, int, int]
    macs: int
    loaded_bytes: int
    stored_bytes: int
    compute_cycles: int
    memory_cycles: int
    total_cycles: int
    utilization: float

    @property
    def bound(self) -> str:
        """``compute`` or ``memory``, whichever takes longer."""
        return "compute" if self.compute_cycles >= self.memory_cycles else "memory"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "output_shape": list(self.output_shape), "bound": self.bound}


def layer_cost(op: Operator, program: IntProgram, march: March) -> LayerCost:
    """Return the cost of `op`, one of the operators of `program`.

    Raises:
        ProgramError: The table :data:`CYCLES` has no row for this kind of operator.
    """
    if type(op) not in CYCLES:
        known = ", ".join(sorted(kind.__name__ for kind in CYCLES))
        raise ProgramError(f"{op.name} ({op.source}): no cost is known for {type(op).__name__}, only for {known}.")
    inputs = [program.values[name] for name in op.inputs]
    output = program.values[op.output]
    loaded, stored = sum(map(_bytes, inputs)) + _constant_bytes(op, inputs[0], output, march), _bytes(output)
    compute = CYCLES[type(op)](op, inputs[0], output, march)
    memory = math.ceil((loaded + stored) * march.clock_hz / march.dram_bytes_per_second)
    total = march.op_overhead_cycles + max(compute, memory)
    macs = _macs(op, output)
    return LayerCost(
        name=op.name,
        kind=op.kind,
        module=op.source.module,
        line=op.source.line,
        output_shape=output.shape,
        macs=macs,
        loaded_bytes=loaded,
        stored_bytes=stored,
        compute_cycles=compute,
        memory_cycles=memory,
        total_cycles=total,
        utilization=macs / (total * march.macs_per_cycle),
    )


def _bytes(value: TensorType) -> int:
    return math.prod(value.shape) * int_type(value.dtype).bytes


def _constant_bytes(op: Operator, value: TensorType, output: TensorType, march: March) -> int:
    total = 0
    arithmetic = march.arithmetic
    if isinstance(op, (Conv2d, Linear)):
        bias_bits = arithmetic.bias_bits_behind(value.dtype, op.weight.kind)
        total += (_weight_bits(op) + len(op.bias) * bias_bits) // 8
    if isinstance(op, Lut):
        total += len(op.table) * int_type(output.dtype).bytes
    requantize: Requantize | None = getattr(op, "requantize", None)
    if requantize is not None:
        total += len(requantize.multiplier) * (MULTIPLIER_BYTES[arithmetic.family] + SHIFT_BYTES)
    return total


def _weight_bits(op: Conv2d | Linear) -> int:
    """Return the bits of all weights, with the steps of those kernels that have one."""
    kind, (channels_out, *_, channels_in) = WEIGHT_KINDS[op.weight.kind], op.weight.values.shape
    return op.weight.values.size * kind.bits + channels_out * channels_in * kind.step_bits


def _macs(op: Operator, output: TensorType) -> int:
    height, width, _ = output.shape
    return height * width * op.weight.values.size if isinstance(op, (Conv2d, Linear)) else 0


def _steps(output: TensorType, channels_in: int, channels_out: int, march: March) -> int:
    """Steps of the array for one kernel tap of one group."""
    pixels, lanes_in, lanes_out = march.mac_array
    area = output.shape[0] * output.shape[1]
    return math.ceil(area / pixels) * math.ceil(channels_in / lanes_in) * math.ceil(channels_out / lanes_out)


def _cycles_per_mac(op: Conv2d | Linear, value: TensorType, march: March) -> int:
    return march.int16_cycles_per_mac if "int16" in (value.dtype, op.weight.dtype) else 1


def _conv_cycles(op: Conv2d, value: TensorType, output: TensorType, march: March) -> int:
    channels_out, height, width, channels_in = op.weight.values.shape
    if op.groups > 1 and channels_in == 1:  # depthwise: groups share a step, each lane has its own input
        steps = _steps(output, 1, channels_out, march)
    else:
        steps = op.groups * _steps(output, channels_in, channels_out // op.groups, march)
    return steps * height * width * _cycles_per_mac(op, value, march)


def _linear_cycles(op: Linear, value: TensorType, output: TensorType, march: March) -> int:
    channels_out, *_, channels_in = op.weight.values.shape
    return _steps(output, channels_in, channels_out, march) * _cycles_per_mac(op, value, march)


def _vector_cycles(taps: int, output: TensorType, march: March) -> int:
    return math.ceil(math.prod(output.shape) * taps / march.vector_lanes)


def _per_value(op: Operator, value: TensorType, output: TensorType, march: March) -> int:
    return _vector_cycles(1, output, march)


def _per_input(op: Operator, value: TensorType, output: TensorType, march: March) -> int:
    return _vector_cycles(len(op.inputs), output, march)


def _pool_cycles(op: MaxPool2d, value: TensorType, output: TensorType, march: March) -> int:
    return _vector_cycles(math.prod(op.kernel), output, march)


def _bilinear_cycles(op: ResizeBilinear2x, value: TensorType, output: TensorType, march: March) -> int:
    return _vector_cycles(BILINEAR_TAPS, output, march)


CYCLES: dict[type[Operator], Callable[[Any, TensorType, TensorType, March], int]] = {
    Conv2d: _conv_cycles,
    Linear: _linear_cycles,
    Add: _per_input,
    MaxPool2d: _pool_cycles,
    ResizeNearest: _per_value,
    ResizeBilinear2x: _bilinear_cycles,
    Rescale: _per_value,
    Sub: _per_input,
    Mul: _per_input,
    Concat: _per_value,
    Lut: _per_value,
    Pad: _per_value,
    Slice: _per_value,
    DepthToSpace: _per_value,
}
"""Compute cycles of an operator from (operator, first input, output, march)."""
