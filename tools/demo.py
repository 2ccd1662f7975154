"""Everything once, small: draw data, pack it, train in four stages, draw curves and results, estimate the latency.

Each step is a command that you can type yourself; it is printed before it runs. Example: python tools/demo.py
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from hatlite.command import ToolParser, start

CONFIG = "configs/detection/fcos/fcos_efficientnetb0_shapes.py"
OUT = Path("tmp_data/demo")
SPLITS = {"train": (2000, 1), "val": (200, 2)}  # images, seed
STAGES = ("float", "calibration", "qat", "int_infer")


def parser() -> ToolParser:
    """Return the parser of this tool."""
    return ToolParser(__doc__)


def steps() -> list[str]:
    """Return the commands of the demo, in order."""
    data = OUT / "shapes"
    commands = []
    for split, (images, seed) in SPLITS.items():
        where = f"--split {split} --num-images {images} --seed {seed} --image-size 128x128"
        commands.append(f"tools/make_shapes.py --out {data} {where}")
        commands.append(f"tools/mscoco_packer.py --src-data-dir {data} --target-data-dir {data} --split-name {split}")
    commands += [f"tools/train.py --stage {stage} --config {CONFIG}" for stage in STAGES]
    commands.append(f"tools/plot_curves.py {OUT} --out {OUT / 'curves.png'}")
    commands.append(f"tools/compare.py --config {CONFIG} --out-dir {OUT / 'pictures'}")
    commands.append(f"tools/compile_perf.py --config {CONFIG} --out-dir {OUT}")
    return commands


def main(args: argparse.Namespace) -> int:
    """Run all steps in a fresh folder; stop at the first that fails, with its exit code."""
    started = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for command in steps():
        print(f"\n$ python {command}", flush=True)
        code = subprocess.run([sys.executable, *command.split()], check=False).returncode
        if code:
            return code
    print(f"\n{(OUT / 'stages.md').read_text(encoding='utf-8')}")
    print(f"The demo took {(time.perf_counter() - started) / 60:.1f} minutes. It left in {OUT}:")
    print("  stages.md, stages.json  the table above       pictures/     float and int_infer side by side")
    print(f"  perf.json               the latency estimate  tensorboard/  tensorboard --logdir {OUT}/tensorboard")
    print("  curves.png              losses, rate and mAP")
    return 0


if __name__ == "__main__":
    start(main, parser())
