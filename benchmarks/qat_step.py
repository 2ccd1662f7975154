"""A training step of the fake-quant graph beside a float step of the same network: ratio of medians, interleaved.

Both sides run forward and backward of FCOS-EfficientNet-b0 with the mean square of all outputs as loss, 2 threads,
channels-last. The float side is conv, batch norm and ReLU in fp32, with batch statistics, as float training runs them.
``amp`` is the same qconfig with bfloat16 in the convolutions of its backward. With ``--threads 1`` seconds are those of
the processor, which programs beside this one disturb less.

    python benchmarks/qat_step.py
    python benchmarks/qat_step.py --also amp
    python benchmarks/qat_step.py --also learned bn_train --rounds 3      # other qconfigs too, and what a refresh takes
    python benchmarks/qat_step.py --also amp --rounds 3 --threads 1 --batch 2 --size 224 224 \\
        --config configs/detection/gnetdet/gnetdet_224_voc.py             # by the config's march and qconfig
"""

import argparse
import copy
import statistics
import time

import torch

from hatlite import config
from hatlite.engine import Run
from hatlite.engine.allocator import keep_freed_memory
from hatlite.engine.parts import qconfig_of, random_image
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.quantization.gain_edit import edit_gains
from hatlite.registry import OBJECT_REGISTRY

BATCH, SIZE, ROUNDS = 8, (256, 384), 7
FCOS = "configs/detection/fcos/fcos_efficientnetb0_bccd.py"
QCONFIGS = {
    "learned": QConfig(activation=dict(learn=True)),
    "bn_train": QConfig(bn="train"),
    "ranges": QConfig(ranges="train", activation=dict(observer="mean_percentile")),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--also", nargs="*", default=[], choices=["amp", *sorted(QCONFIGS)])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--config", default=FCOS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def clock() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def graph_of(floating: torch.nn.Module, qconfig: QConfig, images: torch.Tensor) -> FakeQuantGraph:
    graph = prepare(copy.deepcopy(floating).eval(), qconfig, images[:1])
    with torch.no_grad():
        graph(images)
    graph.finish_calibration()
    if graph.simulation is not None:
        edit_gains(graph)
    return graph.train()


def step_seconds(network: torch.nn.Module, images: torch.Tensor, *, amp: bool = False) -> float:
    started = clock()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        outputs = network(images)
    sum(output.square().mean() for output in outputs.values()).backward()
    network.zero_grad()
    if isinstance(network, FakeQuantGraph):
        network.end_step()
    return clock() - started


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
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    cfg = config.load(options.config)
    floating = OBJECT_REGISTRY.build(cfg["model"]).network.to(memory_format=torch.channels_last).train()
    images = random_image(floating, (options.batch, 3, *options.size)).to(memory_format=torch.channels_last)
    qconfigs = {"qat": QConfig() if options.config == FCOS else qconfig_of(Run(cfg)), **QCONFIGS}
    sides = {"float": floating}
    for name in ("qat", *options.also):
        sides[name] = graph_of(floating, qconfigs["qat" if name == "amp" else name], images)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name, network in sides.items():
            taken = step_seconds(network, images, amp=name == "amp")
            if turn:  # the first round warms caches and primitives
                seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    shape = "×".join(map(str, images.shape))
    print(f"{shape}, {options.rounds} rounds, torch {torch.__version__}, {options.threads} threads")
    for name, values in seconds.items():
        print(f"{name:8s} median {medians[name]:.3f} s, {min(values):.3f} … {max(values):.3f}")
    for name in ("qat", *options.also):
        print(f"{name} / float {medians[name] / medians['float']:.2f}")
    for name in (name for name in options.also if name != "amp"):
        values = refresh_seconds(sides[name], options.rounds)
        print(f"refresh of {name}: median {statistics.median(values):.2f} s, {min(values):.2f} … {max(values):.2f}")


if __name__ == "__main__":
    main()
