"""The integer program: a plain value of frozen dataclasses and NumPy constants; no torch."""

from hatlite.program.certificate import Certificate, ScaleMove, certify, check_certificate, read_certificate
from hatlite.program.certificate_table import certificate_markdown, certificate_table
from hatlite.program.constants import Requantize, Source, Weight
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
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
)
from hatlite.program.printer import format_program
from hatlite.program.program import IntProgram, Port, TensorType
from hatlite.program.saturation import Limits, count_saturated, limits_of
from hatlite.program.serialize import dumps, load, loads, save
from hatlite.program.shapes import output_shape
from hatlite.program.verify import Problem, find_problems, verify

__all__ = [
    "OPERATORS",
    "Add",
    "Certificate",
    "Concat",
    "Conv2d",
    "DepthToSpace",
    "IntProgram",
    "Limits",
    "Linear",
    "Lut",
    "MaxPool2d",
    "Mul",
    "Operator",
    "Pad",
    "Port",
    "Problem",
    "Requantize",
    "Rescale",
    "ResizeBilinear2x",
    "ResizeNearest",
    "ScaleMove",
    "Slice",
    "Source",
    "Sub",
    "TensorType",
    "Weight",
    "certificate_markdown",
    "certificate_table",
    "certify",
    "check_certificate",
    "count_saturated",
    "dumps",
    "find_problems",
    "format_program",
    "limits_of",
    "load",
    "loads",
    "output_shape",
    "read_certificate",
    "save",
    "verify",
]
