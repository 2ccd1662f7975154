"""What can this machine be trusted with? Every engine answers the same questions before it is used.

The questions are programs whose answers the reference knows: convolutions whose accumulators are the thresholds of
their own rounding, t_k and t_k − 1 for every level of every channel, with the largest products that 8 bits have (CPUs
without VNNI saturate sums of two of them); and random programs of all operators. An engine that gives a wrong integer,
or is not installed, is not used on this machine.
"""

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import ProgramError
from hatlite.march import get_march
from hatlite.ops.integer.certificate import thresholds
from hatlite.ops.integer.families import family_of
from hatlite.program import Conv2d, IntProgram, Port, Requantize, TensorType, Weight
from hatlite.program.samples import random_inputs, random_program

__all__ = ["EngineCheck", "check_engine", "threshold_program"]

CHANNELS, TAPS = 8, 24
CLAMPS = {"int8": (-128, 127), "uint8": (0, 255)}
SMALL_SHIFTS = (0, 1, 2, 9)
"""Of a march that only shifts: most accumulators are ties at 1, and 0 rounds nothing."""
ASKED = {"bayes-sim": 6, "tidl": 4}
"""A march of each arithmetic family, and how many random programs are asked of it."""


@dataclass(frozen=True)
class EngineCheck:
    """Outcome of the self-test of one engine.

    Attributes:
        engine: Its name.
        compared: Integers that were compared with the reference's.
        differing: Those that differ.
        problem: Why the engine cannot run at all, or None.
    """

    engine: str
    compared: int = 0
    differing: int = 0
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Whether it may run programs on this machine."""
        return self.problem is None and self.differing == 0

    def __str__(self) -> str:
        if self.problem:
            return f"{self.engine}: not usable, {self.problem}"
        verdict = "usable" if self.usable else f"not usable, {self.differing:,} of them differ"
        return f"{self.engine}: {verdict}; {self.compared:,} integers compared with the reference"


def threshold_program(
    dtype: str, seed: int = 0, march: str = "bayes-sim", shift: int | None = None
) -> tuple[IntProgram, NDArray[np.int8]]:
    """Return a pointwise convolution and the (1, L, 1, TAPS) image that puts it on all thresholds of its channels.

    All weights but one are 127, the last is 1, so that pixels can make any accumulator.

    Args:
        dtype: ``int8`` or ``uint8``, the type of the result.
        seed: Of the scales and biases.
        march: Whose arithmetic it has.
        shift: Of all channels, on a march that only shifts; None draws what channels have.
    """
    rng = np.random.default_rng(seed)
    clamp, arithmetic = CLAMPS[dtype], get_march(march).arithmetic
    family = family_of(arithmetic)
    ideal = 2.0 ** (rng.uniform(-10, -7, CHANNELS) if shift is None else np.full(CHANNELS, -shift))
    bias = np.rint(rng.normal(size=CHANNELS) * 20 / ideal)
    found = family.snap(ideal, 1.0, 1.0, clamp, family.conv_rules, bias=bias * ideal)
    bias = np.rint(bias * ideal / found.weight_scale).astype(np.int64)
    steps = thresholds(found.multiplier, found.shift, clamp) - bias[:, None]
    image = _pixels(np.concatenate([steps.ravel(), steps.ravel() - 1]))
    values = np.full((CHANNELS, 1, 1, TAPS), 127)
    values[..., -1] = 1
    rule = Requantize(found.multiplier, found.shift, *clamp, bias_bits=arithmetic.bias_bits)
    op = Conv2d(name="thresholds", inputs=("x",), output="y", weight=Weight(values), bias=bias, requantize=rule)
    types = {"x": TensorType(image.shape[1:], "int8", 1.0), "y": TensorType((*image.shape[1:3], CHANNELS), dtype, 1.0)}
    ports = (Port("img", "x", "int8", 1.0),), (Port("out", "y", dtype, 1.0),)
    return IntProgram("thresholds", march, *ports, (op,), types), image


def _pixels(wanted: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return pixels whose products with 127, …, 127, 1 sum up to `wanted`, as far as they can reach."""
    limit = 127 * (TAPS - 1)
    whole = np.clip(np.rint(wanted / 127), -limit, limit).astype(np.int64)
    rest = np.clip(wanted - 127 * whole, -128, 127)
    shares = [np.clip(whole - 127 * tap * np.sign(whole), -127, 127) * (np.abs(whole) > 127 * tap) for tap in range(23)]
    return np.stack([*shares, rest], axis=1).astype(np.int8).reshape(1, -1, 1, TAPS)


@functools.cache
def check_engine(engine: str, module: str) -> EngineCheck:
    """Run the self-test of `engine`, once per process.

    Args:
        engine: Its name.
        module: Where its class `Engine` is.
    """
    reference = importlib.import_module("hatlite.executor.kernels.reference")
    try:
        tested = importlib.import_module(module)
    except ImportError as cause:
        return EngineCheck(engine, problem=f"{cause}")
    compared = differing = 0
    try:
        for program, inputs in _questions():
            expected, prepared = reference.Engine(program).run(inputs, "all"), tested.Engine(program)
            for keep in ("all", "outputs"):  # an engine may take other ways when nobody looks inside
                got = prepared.run(inputs, keep)
                compared += sum(value.size for value in got.values())
                differing += sum(int((expected[name] != got[name]).sum()) for name in got)
    except ProgramError as cause:  # the engine says itself why it cannot run here
        return EngineCheck(engine, compared, differing, str(cause))
    except (RuntimeError, AttributeError) as cause:  # an operator that this build of torch lacks or cannot run
        return EngineCheck(engine, compared, differing, f"{type(cause).__name__}: {str(cause).splitlines()[0]}")
    return EngineCheck(engine, compared, differing)


def _questions() -> list[tuple[IntProgram, dict[str, Any]]]:
    asked: list[tuple[IntProgram, dict[str, Any]]] = []
    for dtype in CLAMPS:
        steps = [threshold_program(dtype), *(threshold_program(dtype, 0, "tidl", shift) for shift in SMALL_SHIFTS)]
        asked += [(program, {"img": image}) for program, image in steps]
    for march, count in ASKED.items():
        drawn = [random_program(seed, march=march) for seed in range(count)]
        asked += [(program, random_inputs(program, seed, batch=2)) for seed, program in enumerate(drawn)]
    return [(program, {port.value: inputs[port.name] for port in program.inputs}) for program, inputs in asked]
