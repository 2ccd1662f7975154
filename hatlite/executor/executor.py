"""Runs an integer program: named NHWC integer arrays in, named NHWC integer arrays out.

Every engine gives the same integers; `reference` is the definition, `onednn` the fastest on a CPU.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import ProgramError
from hatlite.executor.self_test import EngineCheck, check_engine
from hatlite.ops.integer.fixed_point import dequantize
from hatlite.program import IntProgram, verify
from hatlite.registry import nearest

__all__ = ["ENGINES", "Executor", "check_engines", "dequantize_outputs", "register_engine"]

Ints = NDArray[Any]

ENGINES = {
    "reference": "hatlite.executor.kernels.reference",
    "float32": "hatlite.executor.kernels.float32",
    "onednn": "hatlite.executor.kernels.onednn",
    "native": "hatlite.executor.kernels.native",
    "cuda": "hatlite.executor.kernels.cuda",
}
"""Engine → module with a class `Engine(program)` that has ``run(inputs, keep)``; :func:`register_engine` adds to it."""

FASTEST_FIRST = ("native", "onednn", "onnxruntime", "float32", "reference")

KEEP = ("outputs", "all")


class Executor:
    """Runs one program with one engine; prepare once, call :meth:`run` often.

    Args:
        program: Verified before anything runs.
        engine: A key of :data:`ENGINES`, or ``auto``: the fastest one that this machine can be trusted with
            (:mod:`hatlite.executor.self_test`).
        device: What ``auto`` may use besides the CPU: ``cuda`` prefers that engine, None stays on the CPU.

    Raises:
        ProgramError: The program is invalid, the engine unknown, or this machine lacks something for it.
    """

    def __init__(self, program: IntProgram, engine: str = "auto", device: str | None = None) -> None:
        verify(program)
        self.program = program
        self.engine = _choose(engine, device)
        try:
            self._engine = importlib.import_module(ENGINES[self.engine]).Engine(program)
        except (ImportError, RuntimeError) as cause:
            raise ProgramError(
                f"{program.name}: engine {self.engine!r} cannot run here: {cause}; engine 'auto' takes one that can."
            ) from cause

    @property
    def kernels(self) -> dict[str, str]:
        """Operator → kernel, for an engine that chooses among several."""
        return dict(getattr(self._engine, "kernels", {}))

    def run(self, inputs: Mapping[str, Ints], keep: str = "outputs") -> dict[str, Ints]:
        """Return the outputs by name, or every value by its name in the program.

        Args:
            inputs: Every input by name, (N, H, W, C) in exactly the port's dtype, any N ≥ 1.
            keep: ``outputs``, or ``all``: every value of the program, inputs included.

        Returns:
            Name → (N, H, W, C) array of the value's dtype.

        Raises:
            ProgramError: An input is missing, unknown, or of another shape or dtype.
        """
        if keep not in KEEP:
            raise ProgramError(f"Executor.run: keep is {keep!r}; expected one of {', '.join(KEEP)}.")
        self._check(inputs)
        values = self._engine.run({port.value: inputs[port.name] for port in self.program.inputs}, keep)
        if keep == "all":
            return {name: values[name] for name in self.program.values}
        return {port.name: values[port.value] for port in self.program.outputs}

    def _check(self, inputs: Mapping[str, Ints]) -> None:
        ports = {port.name: port for port in self.program.inputs}
        if set(inputs) != set(ports):
            raise ProgramError(
                f"{self.program.name}: got the inputs {_names(inputs)}; expected exactly {_names(ports)}."
            )
        for name, port in ports.items():
            array, shape = inputs[name], self.program.values[port.value].shape
            if not isinstance(array, np.ndarray) or array.dtype != port.dtype:
                given = getattr(array, "dtype", type(array).__name__)
                raise ProgramError(
                    f"{self.program.name}: input {name!r} is {given}; expected an array of {port.dtype}."
                )
            if array.ndim != 4 or array.shape[0] < 1 or array.shape[1:] != shape:
                wanted = ", ".join(map(str, shape))
                raise ProgramError(
                    f"{self.program.name}: input {name!r} has shape {array.shape}; expected (N, {wanted}), NHWC, N ≥ 1."
                )
            self._check_clamp(name, array, self.program.values[port.value].clamp)
        if len({len(array) for array in inputs.values()}) != 1:
            sizes = ", ".join(f"{name} {len(array)}" for name, array in inputs.items())
            raise ProgramError(f"{self.program.name}: the inputs differ in batch size: {sizes}.")

    def _check_clamp(self, name: str, array: Ints, clamp: tuple[int, int] | None) -> None:
        if clamp is not None and (array.min() < clamp[0] or array.max() > clamp[1]):
            raise ProgramError(
                f"{self.program.name}: input {name!r} has integers from {array.min()} to {array.max()}; expected"
                f" {clamp[0]}…{clamp[1]}."
            )


def dequantize_outputs(program: IntProgram, outputs: Mapping[str, Ints]) -> dict[str, NDArray[np.float32]]:
    """Return the real outputs, ``float32(q) · float32(scale)``.

    Args:
        program: The program that made them.
        outputs: What :meth:`Executor.run` returned, (N, H, W, C) integers.

    Returns:
        Name → (N, C, H, W) float32, contiguous.
    """
    real = {port.name: dequantize(outputs[port.name], port.scale) for port in program.outputs}
    return {name: np.ascontiguousarray(array.transpose(0, 3, 1, 2)) for name, array in real.items()}


def register_engine(name: str, module: str) -> None:
    """Add an engine that lives in a layer above this one; its module is loaded when the engine is asked for.

    Args:
        name: As a config or a caller names it.
        module: Where its class ``Engine(program)`` is.
    """
    ENGINES[name] = module


def check_engines() -> list[EngineCheck]:
    """Return the self-test of every engine, run once per process."""
    return [check_engine(name, module) for name, module in ENGINES.items()]


def _names(names: Any) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"


def _choose(engine: str, device: str | None) -> str:
    if engine == "auto":
        preferred = ("cuda",) if str(device).startswith("cuda") else ()
        known = (name for name in (*preferred, *FASTEST_FIRST) if name in ENGINES)
        return next(name for name in known if check_engine(name, ENGINES[name]).usable)
    if engine not in ENGINES:
        known = ["auto", *ENGINES]
        raise ProgramError(f"engine is {engine!r}; expected one of {', '.join(known)}.{nearest(engine, known)}")
    return engine
