"""A chip model as a table: its major layers, and how much of the chip they take."""

from hatlite.chip.limits import FILTER_BYTES, MAJORS, filter_bytes
from hatlite.chip.majors import Major, layers_of, majors_of
from hatlite.program import IntProgram

__all__ = ["chip_summary"]

HEADINGS = ("major layer", "map", "channels", "bits", "pool", "shifts", "sublayers")


def chip_summary(program: IntProgram) -> str:
    """Return one line per major layer of a program that the chip holds, one about the whole and one of its images."""
    layers = layers_of(program)
    majors = majors_of(layers)
    rows = [HEADINGS, *(_row(major) for major in majors)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    taken = filter_bytes(layers)
    lines.append(
        f"{len(majors)} of {MAJORS} major layers; weights take {taken:,} of {FILTER_BYTES:,} bytes"
        f" ({taken / FILTER_BYTES:.1%}); the output has {layers[-1].output_bits} bits."
    )
    height, width, _ = layers[0].shape
    lines.append(f"{program.name} takes images of {height}×{width} pixels in {program.metadata['image_format']}.")
    return "\n".join(lines)


def _row(major: Major) -> tuple[str, ...]:
    first, last = major.layers[0], major.layers[-1]
    return (
        str(major.number),
        f"{major.side}×{major.side}",
        f"{first.shape[2]}→{major.channels}",
        str(major.weight_bits),
        "max" if last.pool else "every 2nd" if last.shrinks else "",
        " ".join(str(layer.shift) for layer in major.layers),
        ", ".join(layer.conv.name for layer in major.layers),
    )
