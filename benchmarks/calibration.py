"""Calibration beside float inference of the same network: ratio of medians, interleaved, 2 threads, channels-last.

Float inference is the network as training left it, in eval mode: convolution, batch norm and ReLU one after the other.
Calibration is the forward pass of its fake-quant graph with every observer watching; `unobserved` is the same pass
without observers, batch norm folded. What happens once, whatever the number of images, is printed beside it: taking
scales and multipliers.

    python benchmarks/calibration.py
"""

import argparse
import copy
import statistics
import time

import torch
from networks import NETWORKS, build, images

from hatlite.engine.allocator import keep_freed_memory
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

OBSERVERS = ("min_max", "mse", "mix")
"""Full-tensor extremes, then histograms: all of those watch in the same way and differ in what is done once."""
MODELS = ("fcos_efficientnet_b0", "resnet50")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(NETWORKS), default=MODELS)
    parser.add_argument("--observers", nargs="+", default=OBSERVERS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def seconds(network: torch.nn.Module, batch: torch.Tensor) -> float:
    started = time.perf_counter()
    network(batch)
    return time.perf_counter() - started


def graph_of(network: torch.nn.Module, observer: str, batch: torch.Tensor) -> FakeQuantGraph:
    return prepare(copy.deepcopy(network), QConfig(activation=dict(observer=observer)), batch[:1])


@torch.no_grad()
def measure(name: str, args: argparse.Namespace) -> None:
    floating = build(name).to(memory_format=torch.channels_last)
    batch = images(args.batch, args.side).contiguous(memory_format=torch.channels_last)
    sides = {"float": floating, "unobserved": graph_of(floating, "min_max", batch)}
    for site in sides["unobserved"].sites.values():
        site.observer = None
    sides |= {observer: graph_of(floating, observer, batch) for observer in args.observers}
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(args.rounds + 1):
        for side, network in sides.items():
            spent = seconds(network, batch)
            if turn:  # the first round warms caches and primitives
                taken[side].append(spent)
    base = statistics.median(taken["float"])
    for side, values in taken.items():
        median = statistics.median(values)
        spread = f"({min(values):.3f} … {max(values):.3f})"
        line = f"{name:22s} {side:10s} {median:.3f} s {spread}, / float {median / base:.2f}"
        if side in args.observers:
            started = time.perf_counter()
            sides[side].finish_calibration()
            line += f", once {time.perf_counter() - started:.2f} s"
        print(line)


def main() -> None:
    args = parse()
    torch.set_num_threads(2)
    keep_freed_memory()
    print(f"{args.batch}×3×{args.side}×{args.side}, {args.rounds} rounds, torch {torch.__version__}, 2 threads")
    for name in args.models:
        measure(name, args)


if __name__ == "__main__":
    main()
