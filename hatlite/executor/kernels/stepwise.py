"""Engines that take one operator after the other, each in a form of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from numpy.typing import NDArray

from hatlite.program import IntProgram, Operator

__all__ = ["Stepwise"]

Ints = NDArray[Any]


class Stepwise(ABC):
    """Runs a program operator by operator; a value is dropped after its last reader.

    Args:
        program: What is run.
    """

    def __init__(self, program: IntProgram) -> None:
        self._program = program
        self._dying = _dying_values(program)

    def run(self, inputs: Mapping[str, Ints], keep: str = "outputs") -> dict[str, Ints]:
        """Return the values that the outputs name, or every value of the program.

        Args:
            inputs: Value → (N, H, W, C) integers, checked before.
            keep: ``outputs`` or ``all``.

        Returns:
            Value → (N, H, W, C) array of its dtype.
        """
        values = {name: self.enter(array) for name, array in inputs.items()}
        with self.session():
            for op, dying in zip(self._program.ops, self._dying, strict=True):
                dead = dying if keep == "outputs" else ()
                values[op.output] = self.compute(op, [values[name] for name in op.inputs], dead)
                for name in dead:
                    del values[name]
        kept = self._program.values if keep == "all" else {port.value: None for port in self._program.outputs}
        return {name: self.leave(values[name], self._program.values[name].dtype) for name in kept}

    @abstractmethod
    def enter(self, array: Ints) -> Any:
        """Return a caller's (N, H, W, C) array as this engine holds it."""

    @abstractmethod
    def session(self) -> AbstractContextManager[None]:
        """Everything that computes runs inside."""

    @abstractmethod
    def compute(self, op: Operator, inputs: list[Any], dying: Sequence[str] = ()) -> Any:
        """Return the output of `op`; of its inputs, those in `dying` are read for the last time."""

    @abstractmethod
    def leave(self, value: Any, dtype: str) -> Ints:
        """Return a value as a (N, H, W, C) array of `dtype`."""


def _dying_values(program: IntProgram) -> list[list[str]]:
    """For each operator, the values that nothing reads after it."""
    alive = {port.value for port in program.outputs}
    dying: list[list[str]] = []
    for op in reversed(program.ops):
        names = dict.fromkeys((*op.inputs, op.output))
        dying.append([name for name in names if name not in alive])
        alive.update(names)
    return dying[::-1]
