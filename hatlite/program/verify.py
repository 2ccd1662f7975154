"""The law of integer programs: a list of small rules, checked before a program is saved, loaded or run."""

import math
import reprlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hatlite.errors import ProgramError
from hatlite.march import Arithmetic, get_march
from hatlite.program.ops import Operator
from hatlite.program.program import IntProgram, Port
from hatlite.program.rules import MAX_INTEGERS, OPERATOR_RULES

__all__ = ["Problem", "find_problems", "verify"]

PLAIN = (type(None), bool, int, float, str)
METADATA_DEPTH = 16


@dataclass(frozen=True)
class Problem:
    """A rule that fails.

    Attributes:
        text: What is wrong, without the place.
        op: The operator that it is about; None for the program as a whole.
    """

    text: str
    op: Operator | None = None

    def __str__(self) -> str:
        return self.text if self.op is None else f"{self.op.kind} {self.op.name!r} ({self.op.source}): {self.text}"


def find_problems(program: IntProgram) -> Iterator[Problem]:
    """Yield every rule that `program` breaks; those of its operators only where the program as a whole is sound.

    Raises:
        MarchError: The program's march is not registered.
    """
    arithmetic = get_march(program.march).arithmetic
    for rule in PROGRAM_RULES:
        found = [Problem(text) for text in rule(program)]
        yield from found
        if found:
            return
    for op in program.ops:
        for text in _operator_problems(program, op, arithmetic):
            yield Problem(text, op)


def verify(program: IntProgram) -> IntProgram:
    """Return `program` if it obeys every rule.

    Raises:
        ProgramError: The first rule that fails, with operator, module path and source line.
        MarchError: The program's march is not registered.
    """
    for problem in find_problems(program):
        raise ProgramError(f"{program.name}: {problem}.")
    return program


def _operator_problems(program: IntProgram, op: Operator, arithmetic: Arithmetic) -> Iterator[str]:
    inputs = [program.values[name] for name in op.inputs]
    for rule in OPERATOR_RULES:
        yield from rule(op, inputs, program.values[op.output], arithmetic)


def _unique_names(program: IntProgram) -> Iterator[str]:
    for what, names in (
        ("operator", [op.name for op in program.ops]),
        ("input", [port.name for port in program.inputs]),
        ("output", [port.name for port in program.outputs]),
    ):
        for name, count in Counter(names).items():
            if count > 1:
                yield f"{what} {name!r} exists twice; names are unique"


def _has_ports(program: IntProgram) -> Iterator[str]:
    for what, ports in (("inputs", program.inputs), ("outputs", program.outputs)):
        if not ports:
            yield f"has no {what}; expected at least one"


def _defined_before_use(program: IntProgram) -> Iterator[str]:
    """Every value is assigned once, before it is read, and has a type."""
    defined: dict[str, str] = {}
    for port in program.inputs:
        yield from _define(program, defined, port.value, f"input {port.name!r}")
    for op in program.ops:
        for name in op.inputs:
            if name not in defined:
                yield f"{op.kind} {op.name!r} ({op.source}) reads {name!r}, which nothing before it defines"
        yield from _define(program, defined, op.output, f"{op.kind} {op.name!r} ({op.source})")
    for name in program.values:
        if name not in defined:
            yield f"value {name!r} has a type, but nothing defines it"


def _define(program: IntProgram, defined: dict[str, str], value: str, definer: str) -> Iterator[str]:
    if value in defined:
        yield f"{definer} assigns {value!r}, which {defined[value]} has assigned already"
    if value not in program.values:
        yield f"{definer} assigns {value!r}, which has no type in values"
    defined[value] = definer


def _ports_agree(program: IntProgram) -> Iterator[str]:
    for what, ports in (("input", program.inputs), ("output", program.outputs)):
        for port in ports:
            if port.value not in program.values:
                yield f"{what} {port.name!r} is {port.value!r}, which nothing defines"
            elif not _agrees(port, program, gains=what == "output"):
                yield f"{what} {port.name!r} and its value {port.value!r} differ in dtype or scale"
            if not isinstance(port.stride, int) or port.stride < 1:
                yield f"{what} {port.name!r} has stride {port.stride}; expected a whole number of 1 or more"


def _agrees(port: Port, program: IntProgram, *, gains: bool) -> bool:
    """An output may have a gain for each channel in its scale."""
    value = program.values[port.value]
    scaled = np.array_equal(port.scale, value.scale) or (gains and np.shape(port.scale) == value.shape[2:])
    return port.dtype == value.dtype and scaled


def _port_dtypes(program: IntProgram) -> Iterator[str]:
    arithmetic = get_march(program.march).arithmetic
    for what, ports, allowed in (
        ("input", program.inputs, arithmetic.activation_dtypes),
        ("output", program.outputs, arithmetic.output_dtypes),
    ):
        for port in ports:
            if port.dtype not in allowed:
                yield f"{what} {port.name!r} is {port.dtype}; march {program.march} has {', '.join(allowed)}"
            elif np.ndim(program.values[port.value].scale) and port.dtype != "int32":
                yield f"{port.value!r} is {port.dtype} with a scale per channel; only int32 may have that"


def _sizes(program: IntProgram) -> Iterator[str]:
    """No value is larger than 32-bit indices reach, so that no small file asks for unbounded memory."""
    for name, value in program.values.items():
        if math.prod(value.shape) > MAX_INTEGERS:
            yield f"value {name!r} has shape {value.shape}; expected {MAX_INTEGERS} integers or fewer, split the image"


def _plain_metadata(program: IntProgram) -> Iterator[str]:
    for key, item in program.metadata.items():
        if not isinstance(key, str) or not _is_plain(item):
            yield (
                f"metadata[{key!r}] is {_shown(item)}; expected None, booleans, numbers of 64 bits, strings, lists and"
                f" dicts of them, nested {METADATA_DEPTH} deep or less"
            )


def _is_plain(item: Any, depth: int = METADATA_DEPTH) -> bool:
    if isinstance(item, (list, tuple)):
        return depth > 0 and all(_is_plain(value, depth - 1) for value in item)
    if isinstance(item, dict):
        return depth > 0 and all(isinstance(key, str) and _is_plain(value, depth - 1) for key, value in item.items())
    return type(item) in PLAIN and not (type(item) is int and not -(2**63) <= item < 2**64)


def _shown(item: Any) -> str:
    text = reprlib.repr(item)
    return text if len(text) <= 80 else f"{text[:79]}…"


PROGRAM_RULES = (_unique_names, _has_ports, _defined_before_use, _ports_agree, _port_dtypes, _sizes, _plain_metadata)
"""In an order in which each may rely on the ones before."""
