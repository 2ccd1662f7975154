"""The layers of a chip model as the toolkit of the GTI 5801 writes them down: two JSON files, and the caps as text.

Fields are those that are publicly known of these files; ``gains`` of an output is hatlite's own. They say what a model
is made of; no weights are in them.
"""

from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from hatlite.chip.majors import Layer, Major, layers_of, majors_of
from hatlite.errors import MarchError
from hatlite.program import IntProgram

__all__ = ["Numbers", "cap_lines", "dat_json", "model_json", "output_cap", "output_gains"]

Numbers = Collection[int] | Literal["all"]
"""Of major layers, from 1 on."""

CHIP_TYPE = 5801
JSON_VERSION = 100
IMAGE_MODES = {"BGR": "CS_BGR24_PLANAR", "RGB": "CS_RGB24_PLANAR", "YUV": "CS_YCRCB24_PLANAR"}
"""Format of the image → mode of the reader. The first is the toolkit's word, the others are hatlite's after it."""
TEN_BITS, STEPS = 2**10, 2**5
FINEST = 31 * STEPS
"""31 in steps of 10 bits, of which 32 make 1."""
TILE = 7 * 7
BLOCK_BYTES = 32
"""An output is stored in blocks of 7 × 7 pixels, 32 bytes for each channel of a block."""


def cap_lines(program: IntProgram) -> str:
    """Return ``relu_cap.txt``: the cap of every ReLU before the gain edit, one to a line; the last: `output_cap`."""
    return "".join(f"{cap!r}\n" for cap in [*program.metadata["caps"][:-1], output_cap(program)])


def output_cap(program: IntProgram) -> float:
    """Return the CAP by which the toolkit decodes an output: real = value · CAP / 31; values of 10 bits reach 31.97.

    The cap of the last ReLU stands for its largest integer, which is 31 steps of 5 bits and 1023 / 32 of 10. An output
    whose channels have gains has this CAP for the channel that reaches furthest (:func:`output_gains`).

    Args:
        program: With the caps that its gain edit recorded.
    """
    cap = program.metadata["caps"][-1]
    ten_bits = program.outputs[0].dtype == "int16"
    return cap * FINEST / (TEN_BITS - 1) if ten_bits else cap


def output_gains(program: IntProgram) -> list[float]:
    """Return for every channel of the output what a value of 1 stands for; all alike are CAP / 31."""
    (port,) = program.outputs
    unit = 1 / STEPS if port.dtype == "int16" else 1.0
    channels = program.values[port.value].shape[-1]
    return (np.broadcast_to(np.asarray(port.scale, np.float64), channels) / unit).tolist()


def dat_json(program: IntProgram, *, learning: Numbers = (), last_layer_out: Numbers = ()) -> dict[str, Any]:
    """Return the description of the layers.

    Args:
        program: One that the chip holds (:func:`~hatlite.chip.limits.limit_problems`).
        learning: Numbers of major layers whose sublayers all give their results out, to look at.
        last_layer_out: Numbers of major layers whose last sublayer does.

    Raises:
        MarchError: A number is of no major layer, or both kinds are asked for.
    """
    majors = majors_of(layers_of(program))
    if learning and last_layer_out:
        raise MarchError(
            "Results of inner layers are asked for by --learning (all sublayers of a major layer) and by"
            " --last-layer-out (the last one of each); the chip does not mix the two, name one."
        )
    every = range(1, len(majors) + 1)
    asked = {"learning": learning, "last_layer_out": last_layer_out}
    asked = {kind: every if numbers == "all" else numbers for kind, numbers in asked.items()}
    for number in (number for numbers in asked.values() for number in numbers if number not in every):
        raise MarchError(f"There is no major layer {number}; {program.name} has 1 to {len(majors)}.")
    layers = [
        {**_major(major), **{kind: major.number in numbers for kind, numbers in asked.items()}} for major in majors
    ]
    return {"model": [{"ChipType": CHIP_TYPE, "MajorLayerNumber": len(majors)}], "layer": layers}


def _major(major: Major) -> dict[str, Any]:
    return {
        "major_layer": major.number,
        "image_size": major.side,
        "input_channels": major.layers[0].shape[2],
        "output_channels": major.channels,
        "sublayer_number": len(major.layers),
        "coef_bits": major.weight_bits,
        "pooling": major.layers[-1].shrinks,
        "scaling": [layer.shift for layer in major.layers],
    }


def model_json(program: IntProgram) -> dict[str, Any]:
    """Return the description of what goes into the chip and comes out of it.

    Args:
        program: One that the chip holds.
    """
    first, *_, last = layers_of(program)
    size = first.shape[0]
    mode = IMAGE_MODES[program.metadata["image_format"]]
    reader = {"name": "image", "operation": "IMAGEREADER", "mode": mode, "shape": [3, size, size]}
    network = {
        "name": program.name,
        "operation": "GTICNN",
        "chip": str(CHIP_TYPE),
        "mode": 0,
        "inputs": [{"shape": [size, size, 3], "format": "byte", "prefilter": "interlace_tile_encode"}],
        "outputs": [{**_output(last), "gains": output_gains(program)}],
    }
    return {"name": program.name, "version": JSON_VERSION, "layer": [reader, network]}


def _output(last: Layer) -> dict[str, Any]:
    height, width, _ = last.shape
    channels = last.stored_channels
    ten_bits = last.output_bits == 10
    return {
        "shape": [width, height, channels, width * height, width * height * channels * BLOCK_BYTES // TILE],
        "format": "float" if ten_bits else "byte",
        "postfilter": "interlace_tile_10bits_decode" if ten_bits else "interlace_tile_decode",
        "layer_scaledown": 0,
    }
