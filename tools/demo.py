"""Everything once, small: draw data, pack it, train in all stages, draw curves and results, estimate or convert.

Each step is a command that you can type yourself; it is printed before it runs.

Examples:
    python tools/demo.py
    python tools/demo.py gnetdet
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hatlite.command import ToolParser, start

OUT = {"fcos": Path("tmp_data/demo"), "gnetdet": Path("tmp_data/gnetdet")}
CONFIGS = {
    "fcos": "configs/detection/fcos/fcos_efficientnetb0_shapes.py",
    "gnetdet": "configs/detection/gnetdet/gnetdet_shapes.py",
}
SPLITS = {"fcos": {"train": (2000, 1), "val": (200, 2)}, "gnetdet": {"train": (1500, 1), "val": (150, 2)}}
"""Images and seed of each split."""
STAGES = ("float", "calibration", "qat", "int_infer")
STEPS = ("--step 1", "--step 2", "--step 2 --cal", "--step 3", "--step 4")
LEFT = {
    "fcos": """  stages.md, stages.json  the table above       pictures/     float and int_infer side by side
  perf.json               the latency estimate  tensorboard/  tensorboard --logdir {out}/tensorboard
  curves.png              losses, rate and mAP""",
    "gnetdet": """  run/stages.md    the table above          run/model/  out.model, relu_cap.txt, JSON of the layers
  run/curves.png   losses, rate and mAP     pictures/   what the chip model finds in 20 pictures""",
}


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("what", nargs="?", choices=tuple(CONFIGS), default="fcos", help="default: fcos")
    return parser


def fcos(out: Path, config: str) -> Iterator[str]:
    """Yield the commands of FCOS's demo, in order."""
    data = out / "shapes"
    for split, (images, seed) in SPLITS["fcos"].items():
        where = f"--split {split} --num-images {images} --seed {seed} --image-size 128x128"
        yield f"tools/make_shapes.py --out {data} {where}"
        yield f"tools/mscoco_packer.py --src-data-dir {data} --target-data-dir {data} --split-name {split}"
    for stage in STAGES:
        yield f"tools/train.py --stage {stage} --config {config}"
    yield f"tools/plot_curves.py {out} --out {out / 'curves.png'}"
    yield f"tools/compare.py --config {config} --out-dir {out / 'pictures'}"
    yield f"tools/compile_perf.py --config {config} --out-dir {out}"


def gnetdet(out: Path, config: str) -> Iterator[str]:
    """Yield the commands of GNetDet's demo, in order: those of its toolkit."""
    data, run = out / "shapes", out / "run"
    for split, (images, seed) in SPLITS["gnetdet"].items():
        where = f"--split {split} --num-images {images} --seed {seed} --image-size 224x224"
        yield f"tools/make_shapes.py --layout voc --out {data} {where}"
    yield f"tools/voc_to_meta.py --config {config} --split-by-name"
    for step in STEPS:
        yield f"tools/train-dist.py --config {config} {step}"
    yield f"tools/train.py --config {config} --stage int_infer"
    yield f"tools/convert_to_chip.py --config {config}"
    yield f"tools/plot_curves.py {run} --out {run / 'curves.png'}"
    yield f"tools/make_shapes.py --layout voc --out {out / 'new'} --split val --num-images 20 --image-size 224x224"
    drawn = f"-i {out / 'new/JPEGImages'} -o {out / 'pictures'} --enlarge"
    yield f"tools/GNetDet.py image -m {run / 'model/out.model'} {drawn}"


COMMANDS = {"fcos": fcos, "gnetdet": gnetdet}


def main(args: argparse.Namespace) -> int:
    """Run all steps in a fresh folder; stop at the first that fails, with its exit code."""
    started = time.perf_counter()
    out = OUT[args.what]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for command in COMMANDS[args.what](out, CONFIGS[args.what]):
        print(f"\n$ python {command}", flush=True)
        code = subprocess.run([sys.executable, *command.split()], check=False).returncode
        if code:
            return code
    table = next(out.rglob("stages.md"))
    print(f"\n{table.read_text(encoding='utf-8')}")
    print(f"The demo took {(time.perf_counter() - started) / 60:.1f} minutes. It left in {out}:")
    print(LEFT[args.what].format(out=out))
    return 0


if __name__ == "__main__":
    start(main, parser())
