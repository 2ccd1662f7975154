"""What the GTI 5801 holds, and every way in which a program exceeds it.

Numbers are those that are publicly stated of the chip and its toolkit, or follow from them.
"""

from collections.abc import Callable, Iterator
from typing import Any

from hatlite.chip.majors import SUBLAYERS, Layer, chain_problems, layers_of, majors_of
from hatlite.chip.packing import kernel_bits
from hatlite.errors import MarchError
from hatlite.program import IntProgram

__all__ = ["CHIP", "FILTER_BYTES", "MAX_CLASSES", "filter_bytes", "limit_problems", "require_limits"]

CHIP = "gti5801"
IMAGE_SIZES = (224, 448)
IMAGE_FORMATS = ("BGR", "RGB", "YUV")
MAP_SIDES = (14, 28, 56, 112, 224, 448)
MAJORS = 7
CHANNELS = tuple(2**power for power in range(2, 11))
KERNELS = (1, 3)
STRIDES = (1, 2)
POOL = (2, 2)
WEIGHT_BITS = (3, 8)
SHIFTS = range(13)
FILTER_BYTES = 6_553_600
"""Of all weights."""
OUTPUT_CHANNELS = 256
BOX_CHANNELS = 10
"""Of the head, beside one per class: two boxes of x, y, w, h and confidence."""
MAX_CLASSES = OUTPUT_CHANNELS - 1 - BOX_CHANNELS

Layers = tuple[Layer, ...]


def require_limits(program: IntProgram) -> None:
    """Refuse a program that the chip does not hold.

    Raises:
        MarchError: It exceeds limits, all of which are listed.
    """
    problems = limit_problems(program)
    if len(problems) == 1:
        raise MarchError(f"{program.name} does not fit the GTI 5801: {problems[0]}.")
    if problems:
        listed = "".join(f"\n- {problem}." for problem in problems)
        raise MarchError(f"{program.name} does not fit the GTI 5801 in {len(problems)} ways:{listed}")


def limit_problems(program: IntProgram) -> list[str]:
    """Return a sentence, without its full stop, for everything in `program` that exceeds the chip.

    Of a program of another march, or one that is no chain of convolutions and max pools, only that is said.
    """
    if program.march != CHIP:
        return [f"it was lowered for march {program.march!r}; set march = {CHIP!r} in the config and train for it"]
    problems = list(chain_problems(program))
    if not problems:
        layers = layers_of(program)
        problems = [text for rule in PROGRAM_RULES for text in rule(program, layers)]
        problems += [f"{layer.conv.name}: {text}" for layer in layers for rule in LAYER_RULES for text in rule(layer)]
    return problems


def filter_bytes(layers: Layers) -> int:
    """Return the bytes that the weights of all layers take on the chip, the zeros of the last one included."""
    bits = 0
    for layer in layers:
        taps = layer.kernel[0] * layer.kernel[1]
        bits += layer.stored_channels * layer.shape[2] * kernel_bits(layer.weight_bits, taps)
    return -(-bits // 8)


# -------------------------------------------------------------------------------------------- of the whole program


def _image(program: IntProgram, layers: Layers) -> Iterator[str]:
    height, width, channels = layers[0].shape
    if height != width or height not in IMAGE_SIZES or channels != 3:
        yield f"its image is {height}×{width} with {channels} channels; the chip takes 224×224 or 448×448 with 3"
    given = program.metadata.get("image_format")
    if given not in IMAGE_FORMATS:
        yield f"its image_format is {given!r}; expected one of {', '.join(IMAGE_FORMATS)}, set it in the config's model"


def _classes(program: IntProgram, layers: Layers) -> Iterator[str]:
    classes = program.metadata.get("classes")
    if not isinstance(classes, (list, tuple)) or not classes:
        yield f"its classes are {classes!r}; name them in the config, the model carries their names"
        return
    if len(classes) > MAX_CLASSES:
        yield (
            f"it has {len(classes)} classes, and {MAX_CLASSES} are the most: the head makes 10 + C channels, and the"
            f" power of two strictly above that must be 256 or less. The 256 classes that GNetDet's README states would"
            f" need 266 channels; join or leave out classes"
        )
    channels = len(layers[-1].conv.weight.values)
    if channels != BOX_CHANNELS + len(classes):
        yield f"its head makes {channels} channels; expected 10 + {len(classes)} classes"


def _caps(program: IntProgram, layers: Layers) -> Iterator[str]:
    caps = program.metadata.get("caps")
    if not isinstance(caps, (list, tuple)) or len(caps) != len(layers) or not all(_is_cap(cap) for cap in caps):
        yield (
            f"its caps are {caps!r}; expected {len(layers)} numbers above 0, one for each ReLU, which the gain edit"
            " records: lower a checkpoint of step 4 (qat_31)"
        )


def _is_cap(cap: Any) -> bool:
    return isinstance(cap, (int, float)) and cap > 0


def _majors(program: IntProgram, layers: Layers) -> Iterator[str]:
    majors = majors_of(layers)
    if len(majors) <= MAJORS:
        return
    listed = "; ".join(map(str, majors))
    if layers[-1].output_bits == 10 and len(majors) == MAJORS + 1:
        yield (
            f"its 10-bit output must stand alone in the last major layer, and the layers before it fill all {MAJORS}:"
            f" {listed}. Give the layers before the head 3-bit weights, so that they join those before them, or take an"
            " output of 5 bits"
        )
    else:
        yield (
            f"it needs {len(majors)} major layers, and the chip has {MAJORS}: {listed}. One takes up to {SUBLAYERS}"
            " layers with maps of one size, as many channels and weights of as many bits; make more of them alike"
        )


def _pooling(program: IntProgram, layers: Layers) -> Iterator[str]:
    pools = [layer.pool.name for layer in layers if layer.pool is not None]
    strides = [layer.conv.name for layer in layers if layer.conv.stride == (2, 2)]
    if pools and strides:
        yield (
            f"{', '.join(pools)} take the largest of four pixels and {', '.join(strides)} every second one; the chip"
            " has one kind of pooling for the whole model, use max pools or strides"
        )


def _filters(program: IntProgram, layers: Layers) -> Iterator[str]:
    taken = filter_bytes(layers)
    if taken > FILTER_BYTES:
        yield (
            f"its weights take {taken:,} bytes, and the chip holds {FILTER_BYTES:,}; make the widest layers narrower,"
            " or give more of them 3-bit weights"
        )


def _outputs(program: IntProgram, layers: Layers) -> Iterator[str]:
    for layer in layers[:-1]:
        if layer.output_bits != 5:
            yield f"{layer.conv.name} has a 10-bit result, which only the last layer may have; give it 5 bits"
    if layers[-1].shrinks:
        yield f"{layers[-1].conv.name} makes its map smaller, and the output leaves right behind the last layer"


# --------------------------------------------------------------------------------------------------- of one layer


def _window(layer: Layer) -> Iterator[str]:
    conv, (height, width) = layer.conv, layer.kernel
    if height != width or height not in KERNELS:
        yield f"its kernel is {height}×{width}; the chip has 1×1 and 3×3, stack smaller kernels, which see as far"
    elif conv.padding != (height // 2, width // 2):
        yield f"its padding is {conv.padding}; the chip keeps the size of the map, set padding={height // 2}"
    if conv.stride not in [(stride, stride) for stride in STRIDES]:
        yield f"its stride is {conv.stride}; the chip has 1 and 2, take the step in two layers"
    if conv.dilation != (1, 1) or conv.groups != 1:
        yield f"its dilation is {conv.dilation} with {conv.groups} groups; the chip has neither, leave them at 1"
    pool = layer.pool
    if pool is not None and (pool.kernel, pool.stride, pool.padding) != (POOL, POOL, (0, 0)):
        yield (
            f"{pool.name} behind it is {pool.kernel} with stride {pool.stride} and padding {pool.padding}; the chip has"
            " 2×2 with stride 2, and no padding"
        )


def _sizes(layer: Layer) -> Iterator[str]:
    height, width, channels = layer.shape
    if height != width or height not in MAP_SIDES:
        sides = ", ".join(map(str, MAP_SIDES))
        yield f"its map is {height}×{width}; the chip has {sides}, both sides alike: change the pools before it"
    for role, count in (("reads", channels), ("makes", layer.stored_channels)):
        image = role == "reads" and count == 3
        head = role == "makes" and layer.is_last  # filled up; more than 256 are told as a number of classes
        if count not in CHANNELS and not (image or head):
            yield f"it {role} {count} channels; the chip has powers of two from 4 to 1024, round the width up"


def _numbers(layer: Layer) -> Iterator[str]:
    if layer.weight_bits not in WEIGHT_BITS:
        yield f"its weights have {layer.weight_bits} bits; the chip has 3 and 8"
    rule, highest = layer.conv.requantize, 2**layer.output_bits - 1
    if rule is None or (rule.quant_min, rule.quant_max) != (0, highest):
        stated = "the whole sum" if rule is None else f"{rule.quant_min}…{rule.quant_max}"
        yield f"its result is {stated}; the chip has 0…{highest}, put a ReLU behind it"
    if rule is not None and layer.shift not in SHIFTS:
        yield (
            f"its shift is {layer.shift if layer.shift is not None else rule.shift.tolist()}; expected one number of"
            " 0…12 (the chip has 15, and sums may overflow above 12), quantise its weights anew"
        )


PROGRAM_RULES: tuple[Callable[[IntProgram, Layers], Iterator[str]], ...] = (
    _image,
    _classes,
    _caps,
    _outputs,
    _majors,
    _pooling,
    _filters,
)
LAYER_RULES: tuple[Callable[[Layer], Iterator[str]], ...] = (_window, _sizes, _numbers)
