"""The layers of a program as the chip counts them: convolutions, gathered into major layers.

A major layer is a run of convolutions, its sublayers, that share the size of their map, the bits of their weights and
the number of channels that they make. What makes the map smaller stands at its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from hatlite.program import Conv2d, IntProgram, MaxPool2d

__all__ = ["CODEBOOK_BITS", "SUBLAYERS", "Layer", "Major", "chain_problems", "layers_of", "majors_of"]

SUBLAYERS = 12
"""Most that a major layer can have."""
CODEBOOK_BITS = 3
DENSE_BITS = {"int8": 8, "int16": 16}


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution with its ReLU, and the max pool behind it.

    Attributes:
        conv: The operator.
        pool: The operator behind it, if there is one.
        shape: (H, W, C) of the map that it reads.
        is_last: Whether its result leaves the chip.
        output_bits: Of its result: 5, or 10 of the last layer where it has 16 bits of storage.
    """

    conv: Conv2d
    pool: MaxPool2d | None
    shape: tuple[int, int, int]
    is_last: bool
    output_bits: int

    @property
    def weight_bits(self) -> int:
        """Bits of a weight; 3 where each kernel has a step."""
        weight = self.conv.weight
        return CODEBOOK_BITS if weight.encoding == "codebook" else DENSE_BITS[weight.dtype]

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of its kernels."""
        _, height, width, _ = self.conv.weight.values.shape
        return height, width

    @property
    def stored_channels(self) -> int:
        """Channels that it makes on the chip: the last layer is filled up with zeros.

        Up to the next power of two strictly above its own, and to as many as it reads, so that it may share a major
        layer with the one before it.
        """
        channels = len(self.conv.weight.values)
        return max(2 ** channels.bit_length(), self.shape[2]) if self.is_last else channels

    @property
    def shift(self) -> int | None:
        """Digits s behind the point of a weight, whose scale is 2^−s; None where channels differ.

        A 10-bit result has five digits behind its point, which the shift of the accumulator leaves there.
        """
        rule = self.conv.requantize
        if rule is None or len({*zip(rule.multiplier.tolist(), rule.shift.tolist(), strict=True)}) != 1:
            return None
        return int(rule.shift[0]) - int(rule.multiplier[0]).bit_length() + 1 + self.output_bits - 5

    @property
    def shrinks(self) -> bool:
        """Whether the map behind it is smaller."""
        return self.pool is not None or self.conv.stride != (1, 1)


@dataclass(frozen=True, eq=False)
class Major:
    """A major layer.

    Attributes:
        number: From 1 on.
        layers: Its sublayers, in order.
    """

    number: int
    layers: tuple[Layer, ...]

    @property
    def side(self) -> int:
        """Height and width of the map that its sublayers read."""
        return self.layers[0].shape[0]

    @property
    def weight_bits(self) -> int:
        """Bits of a weight of all its sublayers."""
        return self.layers[0].weight_bits

    @property
    def channels(self) -> int:
        """Channels that each of its sublayers makes."""
        return self.layers[0].stored_channels

    def __str__(self) -> str:
        size = f"{self.side}×{self.side}, {self.channels} channels of {self.weight_bits} bits"
        return f"{self.number}: {', '.join(layer.conv.name for layer in self.layers)} ({size})"


def chain_problems(program: IntProgram) -> Iterator[str]:
    """Yield why `program` is not a chain of convolutions with max pools behind some of them; nothing where it is."""
    for what, ports in (("inputs", program.inputs), ("outputs", program.outputs)):
        if len(ports) != 1:
            yield f"it has {len(ports)} {what}; the chip has one"
    value, before = program.inputs[0].value, None
    for op in program.ops:
        if not isinstance(op, (Conv2d, MaxPool2d)):
            yield f"{op.name} is a {op.kind}; the chip has convolutions and max pools, use these"
        elif isinstance(op, MaxPool2d) and not isinstance(before, Conv2d):
            yield f"{op.name} pools, and no convolution stands right before it; put one there"
        if op.inputs != (value,):
            read = ", ".join(op.inputs)
            yield f"{op.name} reads {read} and not {value}, which is right before it; the chip has chains"
        value, before = op.output, op
    if program.outputs[0].value != value:
        yield f"its output is {program.outputs[0].value} and not {value}, the result of its last operator"


def layers_of(program: IntProgram) -> tuple[Layer, ...]:
    """Return the layers of a program that :func:`chain_problems` finds nothing in."""
    last = [op for op in program.ops if isinstance(op, Conv2d)][-1]
    layers = []
    for op, behind in pairwise((*program.ops, None)):
        if isinstance(op, Conv2d):
            pool = behind if isinstance(behind, MaxPool2d) else None
            bits = 10 if program.values[op.output].dtype == "int16" else 5
            layers.append(Layer(op, pool, program.values[op.inputs[0]].shape, op is last, bits))
    return tuple(layers)


def majors_of(layers: tuple[Layer, ...]) -> tuple[Major, ...]:
    """Gather `layers` into as few major layers as there can be; a 10-bit result has one for itself."""
    majors: list[list[Layer]] = []
    for layer in layers:
        if majors and len(majors[-1]) < SUBLAYERS and _joins(layer, majors[-1][-1]):
            majors[-1].append(layer)
        else:
            majors.append([layer])
    return tuple(Major(number, tuple(members)) for number, members in enumerate(majors, 1))


def _joins(layer: Layer, before: Layer) -> bool:
    """Whether two layers, one right behind the other, may stand in one major layer."""
    alike = (layer.weight_bits, layer.stored_channels) == (before.weight_bits, before.stored_channels)
    return alike and not before.shrinks and layer.output_bits == before.output_bits
