"""A float training step with and without `keep_freed_memory`: ratio of medians, in two processes that take turns.

python benchmarks/allocator.py
"""

import statistics
import subprocess
import sys

ROUNDS = 5
WORKER = """
import sys, time, torch
import hatlite.engine
from hatlite import config
from hatlite.engine.allocator import keep_freed_memory
from hatlite.registry import OBJECT_REGISTRY
torch.set_num_threads(2)
torch.manual_seed(0)
if sys.argv[1] == "kept":
    assert keep_freed_memory(), "this C library has no mallopt"
cfg = config.load("configs/detection/fcos/fcos_efficientnetb0_bccd.py")
network = OBJECT_REGISTRY.build(cfg["model"]).network.to(memory_format=torch.channels_last).train()
images = torch.randn(8, 3, 256, 384).to(memory_format=torch.channels_last)
for line in sys.stdin:
    started = time.perf_counter()
    sum(output.square().mean() for output in network(images).values()).backward()
    network.zero_grad()
    print(time.perf_counter() - started, flush=True)
"""


def start(side: str) -> subprocess.Popen:
    command = [sys.executable, "-c", WORKER, side]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def main() -> None:
    workers = {side: start(side) for side in ("returned", "kept")}
    seconds: dict[str, list[float]] = {side: [] for side in workers}
    for turn in range(ROUNDS + 1):
        for side, worker in workers.items():
            worker.stdin.write("step\n")
            taken = float(worker.stdout.readline())
            if turn:  # the first round makes the primitives
                seconds[side].append(taken)
    for worker in workers.values():
        worker.communicate()
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    print(f"8×3×256×384, {ROUNDS} rounds, 2 threads")
    for side, values in seconds.items():
        print(f"freed memory {side:8s} median {medians[side]:.3f} s, {min(values):.3f} … {max(values):.3f}")
    print(f"returned / kept {medians['returned'] / medians['kept']:.2f}")


if __name__ == "__main__":
    main()
