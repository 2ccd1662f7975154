"""A training step of the fake-quant graph beside a float step of the same network: ratio of medians, interleaved.

Both sides run forward and backward of FCOS-EfficientNet-b0 with the mean square of all outputs as loss, 2 threads,
channels-last. The float side is conv, batch norm and ReLU in fp32, with batch statistics, as float training runs them.

    python benchmarks/qat_step.py
"""

import copy
import statistics
import time

import torch

import hatlite.engine  # noqa: F401 - registers every type
from hatlite import config
from hatlite.engine.allocator import keep_freed_memory
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

BATCH, SIZE, ROUNDS = 8, (256, 384), 7


def step_seconds(network: torch.nn.Module, images: torch.Tensor) -> float:
    started = time.perf_counter()
    sum(output.square().mean() for output in network(images).values()).backward()
    network.zero_grad()
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    keep_freed_memory()
    cfg = config.load("configs/detection/fcos/fcos_efficientnetb0_bccd.py")
    floating = OBJECT_REGISTRY.build(cfg["model"]).network.to(memory_format=torch.channels_last).train()
    images = (torch.randint(-128, 128, (BATCH, 3, *SIZE)) / 128).to(memory_format=torch.channels_last)
    quantized = prepare(copy.deepcopy(floating).eval(), QConfig(), images[:1])
    with torch.no_grad():
        quantized(images)
    quantized.finish_calibration()
    quantized.train()
    sides = {"float": floating, "qat": quantized}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, network in sides.items():
            taken = step_seconds(network, images)
            if turn:  # the first round warms caches and primitives
                seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{BATCH}×3×{SIZE[0]}×{SIZE[1]}, {ROUNDS} rounds, torch {torch.__version__}, 2 threads")
    for name, values in seconds.items():
        print(f"{name:6s} median {medians[name]:.3f} s, {min(values):.3f} … {max(values):.3f}")
    print(f"qat / float {medians['qat'] / medians['float']:.2f}")


if __name__ == "__main__":
    main()
