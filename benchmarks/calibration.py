"""Calibration beside float inference of the same network: ratio of medians, interleaved, 2 threads, channels-last.

Float inference is the network as training left it, in eval mode: convolution, batch norm and ReLU one after the other.
Calibration is the forward pass of its fake-quant graph with every observer watching. Taking the scales, which happens
once and does not depend on the number of images, is printed beside it.

    python benchmarks/calibration.py
"""

import argparse
import copy
import statistics
import time

import torch
from networks import NETWORKS, build, images

from hatlite.engine.allocator import keep_freed_memory
from hatlite.quantization import QConfig, prepare

OBSERVERS = ("min_max", "mse")
"""Full-tensor extremes, and a histogram; all histogram observers watch in the same way."""
PLAIN = ("fcos_efficientnet_b0", "resnet50")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(NETWORKS), default=PLAIN)
    parser.add_argument("--observers", nargs="+", default=OBSERVERS)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def seconds(network: torch.nn.Module, batch: torch.Tensor) -> float:
    started = time.perf_counter()
    network(batch)
    return time.perf_counter() - started


@torch.no_grad()
def measure(name: str, args: argparse.Namespace) -> None:
    floating = build(name).to(memory_format=torch.channels_last)
    batch = images(args.batch, args.side).contiguous(memory_format=torch.channels_last)
    sides = {"float": floating}
    for observer in args.observers:
        sides[observer] = prepare(copy.deepcopy(floating), QConfig(activation=dict(observer=observer)), batch[:1])
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(args.rounds + 1):
        for side, network in sides.items():
            spent = seconds(network, batch)
            if turn:  # the first round warms caches and primitives
                taken[side].append(spent)
    base = statistics.median(taken["float"])
    for side, values in taken.items():
        median = statistics.median(values)
        line = f"{name:22s} {side:10s} {median:.3f} s ({min(values):.3f} … {max(values):.3f}), / float {median / base:.2f}"
        if side != "float":
            started = time.perf_counter()
            sides[side]._take_scales()
            line += f", scales taken in {time.perf_counter() - started:.2f} s"
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
