"""The steps of one program for one batch size: in which order, what is fused, where every value lies."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.executor.native.layout import ALIGNMENT, Kind, Place, Step, Stores, Tensor, plain, plan_memory
from hatlite.executor.native.parts import Part, fuse_addition
from hatlite.ops.integer.engine_rules import BYTES, zero_point
from hatlite.program import Add, IntProgram, Operator
from hatlite.qparams import INT_TYPES

__all__ = ["Plan", "Work", "schedule"]

Ints = NDArray[Any]

FLIPS = {dtype: np.array([zero_point(dtype)], np.uint8) for dtype in INT_TYPES}
"""What a byte of a value is combined with by exclusive or, on its way in or out."""


@dataclass(frozen=True)
class Work:
    """One operator, or a convolution together with the addition behind it.

    Attributes:
        op: The operator.
        part: What C does for it; None: `borrowed`, another engine does.
        add: Addition that is fused.
    """

    op: Operator
    part: Part | None
    add: Add | None = None

    @property
    def output(self) -> str:
        """Name of the value that it makes."""
        return self.add.output if self.add else self.op.output

    @property
    def other(self) -> str:
        """Name of what is added to the result of the convolution, or of the second input."""
        if self.add:
            return next(name for name in self.add.inputs if name != self.op.output)
        return self.op.inputs[-1]

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that it reads."""
        return (*self.op.inputs, self.other)


def schedule(program: IntProgram, parts: Mapping[str, Part], keep: set[str]) -> list[Work]:
    """Return what is done in which order: an addition moves into the convolution before it whose result only it reads.

    Args:
        program: What is run.
        parts: Operator → part.
        keep: Values that must be there at the end.
    """
    readers = Counter(name for op in program.ops for name in op.inputs)
    makers = {op.output: (index, op) for index, op in enumerate(program.ops)}
    fused: dict[str, Operator] = {}
    for add in program.ops:
        if not isinstance(add, Add) or add.name not in parts:
            continue
        candidates = [makers[name] for name in add.inputs if name in makers and name not in keep and readers[name] == 1]
        convolutions = [(index, op) for index, op in candidates if _can_add(parts.get(op.name))]
        if convolutions:
            fused[add.name] = max(convolutions, key=lambda one: one[0])[1]
    gone = {op.name for op in fused.values()}
    works = []
    for op in program.ops:
        if isinstance(op, Add) and op.name in fused:
            works.append(Work(fused[op.name], parts[fused[op.name].name], op))
        elif op.name not in gone:
            works.append(Work(op, parts.get(op.name)))
    return works


def _can_add(part: Part | None) -> bool:
    return part is not None and part.steps[0].kind == Kind.CONVOLUTION and part.steps[0].stores == Stores.BYTES


class Plan:
    """Memory and steps, ready to run.

    Args:
        program: What is run.
        parts: Operator → part.
        batch: Pictures.
        keep: Values that are returned.
    """

    def __init__(self, program: IntProgram, parts: Mapping[str, Part], batch: int, keep: set[str]) -> None:
        self._program, self._keep, self._lock = program, keep, threading.Lock()
        works = schedule(program, parts, keep)
        self._places = _places(program, works, batch)
        offsets, size = plan_memory({n: place.size for n, place in self._places.items()}, _lives(program, works, keep))
        memory = np.zeros(size + 2 * ALIGNMENT, np.uint8)  # a vector may be read from the last byte on
        start = -memory.ctypes.data % ALIGNMENT
        self._tensors = {n: place.tensor(memory.ctypes.data + start + offsets[n]) for n, place in self._places.items()}
        self._memory = memory
        self._sequence = self._segments(works, batch)

    def _copy(self, name: str, array: Ints | None = None, *, enter: bool) -> Step:
        """Return the step that brings a value in from `array`, or out to it."""
        place = self._places[name]
        inside = Tensor.from_buffer_copy(self._tensors[name])
        inside.channels *= 1 if place.kind.dtype in BYTES else np.dtype(place.kind.dtype).itemsize
        outside = inside if array is None else plain(array)
        step = Step(kind=Kind.COPY, batch=place.batch, table=FLIPS[place.kind.dtype].ctypes.data)
        step.x, step.y = (outside, inside) if enter else (inside, outside)
        return step

    def _segments(self, works: list[Work], batch: int) -> list[Any]:
        """Return operators that are borrowed, and runs of steps between them."""
        steps = [self._copy(port.value, enter=True) for port in self._program.inputs]
        sequence: list[Any] = []
        for work in works:
            if work.part is not None:
                steps += self._steps(work, batch)
                continue
            sequence += [_array(steps), work.op] if steps else [work.op]
            steps = []
        self._outputs = sorted(self._keep)
        steps += [self._copy(name, enter=False) for name in self._outputs]
        return [*sequence, _array(steps)]

    def _steps(self, work: Work, batch: int) -> list[Step]:
        assert work.part is not None
        steps = []
        for index, template in enumerate(work.part.steps):
            step = Step.from_buffer_copy(template)
            step.batch = batch
            step.x = self._tensors[work.op.inputs[index]]
            step.other, step.y = self._tensors[work.other], self._tensors[work.output]
            if work.add:
                step.fused = 1
                fuse_addition(step, work.add, first=work.add.inputs.index(work.op.output))
            steps.append(step)
        return steps

    def run(
        self,
        inputs: Mapping[str, Ints],
        native: Callable[[Any, int], None],
        borrow: Callable[[Operator, list[Ints]], Ints],
    ) -> dict[str, Ints]:
        """Return value → (N, H, W, C) array for every value that is kept.

        Args:
            inputs: Value → array.
            native: Runs an array of steps, given with their number.
            borrow: Computes an operator from arrays.
        """
        given = [np.ascontiguousarray(inputs[port.value]) for port in self._program.inputs]
        results = {name: self._empty(name) for name in self._outputs}
        with self._lock:
            for index, array in enumerate(given):
                self._sequence[0][index].x = plain(array)
            last = self._sequence[-1]
            for index, name in enumerate(self._outputs):
                last[len(last) - len(self._outputs) + index].y = plain(results[name])
            for item in self._sequence:
                if isinstance(item, Operator):
                    self._borrow(item, native, borrow)
                else:
                    native(item, len(item))
        return results

    def _borrow(self, op: Operator, native: Callable[[Any, int], None], borrow: Callable[..., Ints]) -> None:
        inputs = [self._empty(name) for name in op.inputs]
        out = [self._copy(name, array, enter=False) for name, array in zip(op.inputs, inputs, strict=True)]
        native(_array(out), len(out))
        result = np.ascontiguousarray(borrow(op, inputs))
        native(_array([self._copy(op.output, result, enter=True)]), 1)

    def _empty(self, name: str) -> Ints:
        place = self._places[name]
        return np.empty((place.batch, *place.kind.shape), place.kind.dtype)


def _array(steps: list[Step]) -> Any:
    return (Step * len(steps))(*steps)


def _places(program: IntProgram, works: list[Work], batch: int) -> dict[str, Place]:
    borders: Counter[str] = Counter()
    for work in works:
        if work.part is not None and program.values[work.op.inputs[0]].dtype in BYTES:
            name = work.op.inputs[0]
            borders[name] = max(borders[name], work.part.padding)
    names = [port.value for port in program.inputs] + [work.output for work in works]
    return {name: Place(program.values[name], batch, borders[name]) for name in names}


def _lives(program: IntProgram, works: list[Work], keep: set[str]) -> dict[str, tuple[int, int]]:
    """Return value → first and last work that touches it; −1 brings the inputs."""
    first = {port.value: -1 for port in program.inputs}
    last = dict(first)
    for index, work in enumerate(works):
        first[work.output] = index
        last.update(dict.fromkeys((*work.reads, work.output), index))
    last.update(dict.fromkeys(keep, len(works)))
    return {name: (first[name], last[name]) for name in first}
