"""A training step of the fake-quant graph beside a float step of the same network: ratio of medians, interleaved.

Both sides run forward and backward of FCOS-EfficientNet-b0 with the mean square of all outputs as loss, 2 threads,
channels-last. The float side is conv, batch norm and ReLU in fp32, with batch statistics, as float training runs them.
``amp`` is the default qconfig with bfloat16 in the convolutions of its backward.

    python benchmarks/qat_step.py
    python benchmarks/qat_step.py --also amp
    python benchmarks/qat_step.py --also learned bn_train --rounds 3      # other qconfigs too, and what a refresh takes
"""

import argparse
import copy
import statistics
import time

import torch

import hatlite.engine  # noqa: F401 - registers every type
from hatlite import config
from hatlite.engine.allocator import keep_freed_memory
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

BATCH, SIZE, ROUNDS = 8, (256, 384), 7
QCONFIGS = {
    "qat": QConfig(),
    "amp": QConfig(),
    "learned": QConfig(activation=dict(learn=True)),
    "bn_train": QConfig(bn="train"),
    "ranges": QConfig(ranges="train", activation=dict(observer="mean_percentile")),
}


def step_seconds(network: torch.nn.Module, images: torch.Tensor, *, amp: bool = False) -> float:
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        outputs = network(images)
    sum(output.square().mean() for output in outputs.values()).backward()
    network.zero_grad()
    if isinstance(network, FakeQuantGraph):
        network.end_step()
    return time.perf_counter() - started


def refresh_seconds(network: FakeQuantGraph, rounds: int) -> list[float]:
    """Return how long each of `rounds` refreshes takes when every learned scale has moved."""
    taken = []
    for _ in range(rounds):
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("log_scale"):
                    parameter.uniform_(-0.05, 0.05)
        started = time.perf_counter()
        network.refresh()
        taken.append(time.perf_counter() - started)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--also", nargs="*", default=[], choices=sorted(set(QCONFIGS) - {"qat"}))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    keep_freed_memory()
    cfg = config.load("configs/detection/fcos/fcos_efficientnetb0_bccd.py")
    floating = OBJECT_REGISTRY.build(cfg["model"]).network.to(memory_format=torch.channels_last).train()
    images = (torch.randint(-128, 128, (BATCH, 3, *SIZE)) / 128).to(memory_format=torch.channels_last)
    sides = {"float": floating}
    for name in ("qat", *options.also):
        sides[name] = prepare(copy.deepcopy(floating).eval(), QCONFIGS[name], images[:1])
        with torch.no_grad():
            sides[name](images)
        sides[name].finish_calibration()
        sides[name].train()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name, network in sides.items():
            taken = step_seconds(network, images, amp=name == "amp")
            if turn:  # the first round warms caches and primitives
                seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{BATCH}×3×{SIZE[0]}×{SIZE[1]}, {options.rounds} rounds, torch {torch.__version__}, 2 threads")
    for name, values in seconds.items():
        print(f"{name:8s} median {medians[name]:.3f} s, {min(values):.3f} … {max(values):.3f}")
    for name in ("qat", *options.also):
        print(f"{name} / float {medians[name] / medians['float']:.2f}")
    for name in options.also:
        values = refresh_seconds(sides[name], options.rounds)
        print(f"refresh of {name}: median {statistics.median(values):.2f} s, {min(values):.2f} … {max(values):.2f}")


if __name__ == "__main__":
    main()
