"""Chip models, `out.model`: an integer program for the GTI 5801 as major layers of packed weights.

It is hatlite's own container, described in docs/chip_model.md, and not the vendor's binary, whose layout is not public:
no SDK loads it. Reading it gives the program that was written, to the last bit.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.chip.limits import require_limits
from hatlite.chip.majors import CODEBOOK_BITS, Layer, Major, layers_of, majors_of
from hatlite.chip.packing import (
    BIAS_BITS,
    pack_biases,
    pack_bytes,
    pack_kernels,
    unpack_biases,
    unpack_bytes,
    unpack_kernels,
)
from hatlite.errors import ProgramError
from hatlite.files import whole_file
from hatlite.program import (
    Conv2d,
    IntProgram,
    MaxPool2d,
    Operator,
    Port,
    Requantize,
    Source,
    TensorType,
    Weight,
    output_shape,
    verify,
)
from hatlite.program.records import RecordFormat

__all__ = ["FORMAT_VERSION", "chip_model_bytes", "chip_program", "read_chip_model", "write_chip_model"]

FORMAT_VERSION = 1
VALUE_BITS = 5
VALUE_TYPES = {5: ("uint8", 1.0, (0, 31)), 10: ("int16", 2.0**-5, (0, 1023))}
"""dtype, scale and limits of a value, by its bits."""
WEIGHTS = {3: (unpack_kernels, "codebook", "per_kernel"), 8: (unpack_bytes, "dense", "per_axis")}
"""How weights are read, and what a program calls them, by their bits."""


@dataclass(frozen=True, eq=False)
class Pool:
    """A 2×2 max pool behind a convolution: its name, its value and where it comes from."""

    name: str
    output: str
    source: Source


@dataclass(frozen=True, eq=False)
class Sublayer:
    """A convolution with its ReLU.

    Attributes:
        name: Of the operator.
        output: Of the value that it makes.
        source: Where it comes from.
        kernel: Height and width of a kernel.
        stride: 1 or 2.
        input_channels: Channels that it reads.
        output_channels: Channels that it makes, without zeros to fill up the last layer.
        shift: s of the weights' scale 2^−s.
        filters: Packed weights.
        biases: Packed biases.
        pool: What stands behind it.
    """

    name: str
    output: str
    source: Source
    kernel: int
    stride: int
    input_channels: int
    output_channels: int
    shift: int
    filters: NDArray[np.uint8]
    biases: NDArray[np.uint8]
    pool: Pool | None


@dataclass(frozen=True, eq=False)
class MajorLayer:
    """Sublayers with maps of one size.

    Attributes:
        number: From 1 on.
        map_size: Height and width of what the sublayers read.
        coef_bits: Bits of a weight, 3 or 8.
        sublayers: In order.
    """

    number: int
    map_size: int
    coef_bits: int
    sublayers: tuple[Sublayer, ...]


@dataclass(frozen=True, eq=False)
class ChipModel:
    """What an `out.model` holds.

    Attributes:
        name: Of the program.
        chip: Its march.
        image: The input.
        output: The output; its scale has the gain of every channel.
        output_bits: 5 or 10.
        majors: In order.
        metadata: The program's: caps, classes, image_format, thresholds and whatever else it carries.
    """

    name: str
    chip: str
    image: Port
    output: Port
    output_bits: int
    majors: tuple[MajorLayer, ...]
    metadata: dict[str, Any]


FORMAT = RecordFormat(
    magic=b"HGTI",
    version=FORMAT_VERSION,
    kind="chip model",
    writer="tools/convert_to_chip.py",
    remedy="convert the program again",
    classes={cls.__name__: cls for cls in (ChipModel, MajorLayer, Pool, Port, Source, Sublayer)},
    dtypes=("uint8", "float64"),
)


def write_chip_model(program: IntProgram, path: str | os.PathLike[str]) -> Path:
    """Write `program` as a chip model to `path`, whole or not at all.

    Raises:
        MarchError, ProgramError: As :func:`chip_model_bytes`.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    content = chip_model_bytes(program)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def read_chip_model(path: str | os.PathLike[str]) -> IntProgram:
    """Return the program in the chip model at `path`, verified; all that the host needs is in its metadata and ports.

    Raises:
        ProgramError: The file is missing, damaged, of another version or kind, or holds no valid program; the message
            names the file.
    """
    content = FORMAT.read(path)
    try:
        return chip_program(content)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from problem


def chip_model_bytes(program: IntProgram) -> bytes:
    """Return the bytes of a chip model, after reading them back: they give `program`.

    Raises:
        MarchError: It exceeds limits of the chip, all of which are listed.
        ProgramError: It breaks a rule of programs, or is more than a chip model can say.
    """
    require_limits(verify(program))
    majors = majors_of(layers_of(program))
    (image,), (output,) = program.inputs, program.outputs
    bits = majors[-1].layers[-1].output_bits
    records = tuple(_major(major) for major in majors)
    content = FORMAT.dumps(ChipModel(program.name, program.march, image, output, bits, records, program.metadata))
    if differs := _difference(program, chip_program(content)):
        raise ProgramError(f"{program.name}: {differs} is more than a chip model says; lower the network again.")
    return content


def chip_program(content: bytes) -> IntProgram:
    """Return the verified program in the bytes of a chip model.

    Raises:
        ProgramError: As :func:`read_chip_model`; one sentence, whatever the bytes are.
    """
    return FORMAT.loads(content, _program)


# ------------------------------------------------------------------------------------------------------- writing


def _major(major: Major) -> MajorLayer:
    sublayers = tuple(_sublayer(layer) for layer in major.layers)
    return MajorLayer(major.number, major.side, major.weight_bits, sublayers)


def _sublayer(layer: Layer) -> Sublayer:
    conv, pool, values = layer.conv, layer.pool, layer.conv.weight.values
    try:
        filters = pack_kernels(values) if layer.weight_bits == CODEBOOK_BITS else pack_bytes(values)
        biases = pack_biases(conv.bias)
    except ProgramError as problem:
        raise ProgramError(f"{conv.name}: {problem}") from problem
    return Sublayer(
        name=conv.name,
        output=conv.output,
        source=conv.source,
        kernel=values.shape[1],
        stride=conv.stride[0],
        input_channels=values.shape[3],
        output_channels=values.shape[0],
        shift=layer.shift or 0,
        filters=filters,
        biases=biases,
        pool=None if pool is None else Pool(pool.name, pool.output, pool.source),
    )


def _difference(program: IntProgram, copy: IntProgram) -> str | None:
    """Return what two programs differ in: an operator by its name, or the rest."""
    for op, other in zip(program.ops, copy.ops, strict=True):
        if FORMAT.dumps(op) != FORMAT.dumps(other):
            return op.name
    same = FORMAT.dumps(replace(program, values=_ordered(program))) == FORMAT.dumps(copy)
    return None if same else "what it has beside its operators"


def _ordered(program: IntProgram) -> dict[str, TensorType]:
    """Values in the order of their definition, as those of a copy are."""
    names = [program.inputs[0].value, *(op.output for op in program.ops)]
    return {name: program.values[name] for name in names}


# ------------------------------------------------------------------------------------------------------- reading


def _program(model: Any) -> IntProgram:
    if not isinstance(model, ChipModel) or not model.majors:
        raise ProgramError("holds no layers; convert the program again.")
    ops: list[Operator] = []
    value, shape = model.image.value, (model.majors[0].map_size, model.majors[0].map_size, 3)
    values = {value: TensorType(shape, *VALUE_TYPES[VALUE_BITS])}
    sublayers = [(major, sublayer) for major in model.majors for sublayer in major.sublayers]
    for index, (major, sublayer) in enumerate(sublayers, 1):
        if shape[:2] != (major.map_size, major.map_size):
            raise ProgramError(f"states a map of {major.map_size} pixels for {sublayer.name}, which gets {shape[0]}.")
        output_bits = model.output_bits if index == len(sublayers) else VALUE_BITS
        for op in _operators(sublayer, value, major.coef_bits, output_bits):
            value, shape = op.output, output_shape(op, shape)
            values[value] = TensorType(shape, *VALUE_TYPES[output_bits])
            ops.append(op)
    return verify(
        IntProgram(model.name, model.chip, (model.image,), (model.output,), tuple(ops), values, model.metadata)
    )


def _operators(sublayer: Sublayer, value: str, weight_bits: int, output_bits: int) -> Iterator[Operator]:
    """The convolution, and the max pool behind it if there is one."""
    shape = (sublayer.output_channels, sublayer.kernel, sublayer.kernel, sublayer.input_channels)
    unpack, encoding, granularity = WEIGHTS[weight_bits]
    try:
        weights = unpack(sublayer.filters, shape)
        biases = unpack_biases(sublayer.biases, sublayer.output_channels)
    except ProgramError as problem:
        raise ProgramError(f"{sublayer.name} {problem}") from problem
    scale = np.full(sublayer.output_channels, 2.0**-sublayer.shift)
    yield Conv2d(
        name=sublayer.name,
        inputs=(value,),
        output=sublayer.output,
        source=sublayer.source,
        weight=Weight(weights, scale, encoding, granularity),
        bias=biases,
        requantize=_requantize(sublayer, output_bits),
        stride=(sublayer.stride, sublayer.stride),
        padding=(sublayer.kernel // 2, sublayer.kernel // 2),
    )
    if (pool := sublayer.pool) is not None:
        window = {"kernel": (2, 2), "stride": (2, 2)}
        yield MaxPool2d(name=pool.name, inputs=(sublayer.output,), output=pool.output, source=pool.source, **window)


def _requantize(sublayer: Sublayer, output_bits: int) -> Requantize:
    """The shift of accumulators; what a finer output leaves of it, or the steps to the left that it lacks."""
    left = output_bits - VALUE_BITS - sublayer.shift
    constants = (2**left, 0) if left > 0 else (1, -left)
    multiplier, shift = (np.full(sublayer.output_channels, value) for value in constants)
    return Requantize(multiplier, shift, *VALUE_TYPES[output_bits][2], bias_bits=BIAS_BITS)
