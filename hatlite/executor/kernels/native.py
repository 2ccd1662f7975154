"""The native engine: a program as steps of C for AVX-512 VNNI, compiled at first use.

int8 products are summed in int32. A result is rounded in float32 where the certificate of the rule `float32` holds
for every accumulator that the weights can reach, by a shift of the int32 where nothing is multiplied, else in 64-bit
integers, so that no layer needs another engine for its rounding. Additions are integers, as the definition has them,
in the registers of the convolution before them.
One call runs all steps: no interpreter, no allocation and no conversion stands between operators. What C has no step
for is borrowed from the oneDNN engine where that is trusted, else from the float32 engine (:attr:`Engine.kernels`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hatlite.executor.kernels import float32, onednn
from hatlite.executor.native.library import load_library
from hatlite.executor.native.parts import PARTS
from hatlite.executor.native.plan import Plan
from hatlite.executor.self_test import check_engine
from hatlite.program import IntProgram, Operator

__all__ = ["Engine"]

Ints = NDArray[Any]


class Engine:
    """Holds the steps of one program, and the memory of every batch size that it was run with.

    Attributes:
        kernels: Operator → ``native``, ``native, 64-bit rounding``, or what the borrowed engine says.
    """

    def __init__(self, program: IntProgram) -> None:
        self._library = load_library()
        self._program = program
        found = ((op, PARTS[type(op)](op, program) if type(op) in PARTS else None) for op in program.ops)
        self._parts = {op.name: part for op, part in found if part is not None}
        borrowed = tuple(op for op in program.ops if op.name not in self._parts)
        trusted = bool(borrowed) and check_engine("onednn", onednn.__name__).usable
        self._borrowed = (onednn if trusted else float32).Engine(replace(program, ops=borrowed))
        names = getattr(self._borrowed, "kernels", {})
        parts = self._parts
        self.kernels = {
            op.name: parts[op.name].kernel if op.name in parts else names.get(op.name, "float32") for op in program.ops
        }
        self._plans: dict[tuple[int, bool], Plan] = {}

    def run(self, inputs: Mapping[str, Ints], keep: str = "outputs") -> dict[str, Ints]:
        """Return the outputs, or every value; see :class:`hatlite.executor.kernels.stepwise.Stepwise`."""
        batch = len(next(iter(inputs.values())))
        key = (batch, keep == "all")
        if key not in self._plans:
            kept = set(self._program.values) if key[1] else {port.value for port in self._program.outputs}
            self._plans[key] = Plan(self._program, self._parts, batch, kept)
        return self._plans[key].run(inputs, self._native, self._borrow)

    def _native(self, steps: Any, count: int) -> None:
        self._library.run(steps, count, torch.get_num_threads())

    def _borrow(self, op: Operator, inputs: list[Ints]) -> Ints:
        engine = self._borrowed
        with engine.session():
            value = engine.compute(op, [engine.enter(array) for array in inputs])
        return np.asarray(engine.leave(value, self._program.values[op.output].dtype))
