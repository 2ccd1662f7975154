"""Convolutions whose sums float32 cannot hold: in parts (bytes of int16, groups of channels) and in float64.

Both sides are whole executors of one convolution with an int16 result, interleaved; the least of all rounds counts.

    python benchmarks/int16.py
"""

import time
from unittest.mock import patch

import numpy as np
import torch

from hatlite.executor import Executor
from hatlite.executor.kernels import float32, onednn
from hatlite.program import Conv2d, IntProgram, Port, Requantize, TensorType, Weight, output_shape
from hatlite.program.samples import random_inputs

ROUNDS = 9
CASES = (  # input dtype, input channels, output channels, kernel, side, groups
    ("int16", 64, 64, 3, 64, 1),
    ("int16", 256, 64, 3, 32, 1),
    ("int16", 16, 32, 3, 128, 1),
    ("int16", 64, 64, 3, 64, 64),
    ("int16", 32, 32, 1, 64, 1),
    ("int16", 64, 64, 1, 64, 1),
    ("int16", 256, 64, 1, 32, 1),
    ("int16", 256, 256, 1, 32, 1),
    ("uint8", 512, 64, 3, 16, 1),
    ("uint8", 1024, 64, 3, 16, 1),
    ("uint8", 2048, 256, 1, 16, 1),
    ("uint8", 3840, 64, 1, 16, 1),
    ("uint8", 16384, 64, 1, 8, 1),
)
NO_PARTS = [patch.object(engine, "parts_of", lambda op, dtype, **limits: None) for engine in (float32, onednn)]


def convolution(dtype: str, channels: int, out: int, kernel: int, side: int, groups: int) -> IntProgram:
    """Weights of full scale where the channels are to be divided, else drawn."""
    rng = np.random.default_rng(0)
    shape = (out, kernel, kernel, channels // groups)
    values = rng.integers(-127, 128, shape) if dtype == "int16" else rng.choice([-127, 127], shape)
    rule = Requantize(np.full(out, 16387), np.full(out, 30), -32768, 32767)
    window = {"padding": (kernel // 2, kernel // 2), "groups": groups}
    weight = Weight(values.astype(np.int8))
    op = Conv2d(name="c", inputs=("x",), output="y", weight=weight, bias=np.zeros(out), requantize=rule, **window)
    x = TensorType((side, side, channels), dtype, 1.0)
    types = {"x": x, "y": TensorType(output_shape(op, x.shape), "int16", 1.0)}
    ports = (Port("img", "x", dtype, 1.0),), (Port("out", "y", "int16", 1.0),)
    return IntProgram("c", "bayes-sim", *ports, (op,), types)


def milliseconds(executor: Executor, inputs: dict[str, np.ndarray]) -> float:
    started = time.perf_counter()
    executor.run(inputs)
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    torch.set_num_threads(2)
    print(f"{ROUNDS} rounds, torch {torch.__version__}, 2 threads; milliseconds, the least of all rounds")
    print("input  channels  kernel  side  groups   float64  float32 parts  onednn parts")
    for case in CASES:
        program = convolution(*case)
        inputs = random_inputs(program, 0)
        with NO_PARTS[0], NO_PARTS[1]:
            sides = {"float64": Executor(program, "float32")}
        sides |= {engine: Executor(program, engine) for engine in ("float32", "onednn")}
        taken = {name: [milliseconds(side, inputs) for _ in range(2)] for name, side in sides.items()}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                taken[name].append(milliseconds(side, inputs))
        dtype, channels, out, kernel, size, groups = case
        least = "  ".join(f"{min(values):13.2f}" for values in taken.values())
        print(f"{dtype:5s}  {channels:4d}→{out:3d}  {kernel:6d}  {size:4d}  {groups:6d}  {least}")


if __name__ == "__main__":
    main()
