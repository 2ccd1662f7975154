r"""Draw the pictures of a config's data with their boxes, as loaded and as the network gets them after the transforms.

Examples:
    python tools/browse_dataset.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --out browsed
    python tools/browse_dataset.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --out browsed --epochs 3
    python tools/browse_dataset.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --out browsed \
        --stage calibration --split val --indices 0 7

The chances of an epoch are those of training: a picture looks here as it does there.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures and a sheet; made if missing")
    parser.add_argument("--stage", "-s", help="whose data: float, calibration, qat, int_infer; default: the first")
    parser.add_argument(
        "--split", choices=("train", "val"), default="train", help="data to train on, or to evaluate on; default: train"
    )
    parser.add_argument("--num", type=count(1), default=8, help="number of pictures, from the first; default: 8")
    parser.add_argument("--indices", nargs="+", type=count(0), metavar="INDEX", help="these, counted from 0, instead")
    parser.add_argument("--epochs", type=count(1), default=1, help="epochs beside one another, from 0; default: 1")
    parser.add_argument("--seed", type=count(0), help="seed of the transforms' chances; default: the config's")
    return parser


def main(args: argparse.Namespace) -> None:
    """Load, transform, draw, and say of each picture what is in it."""
    from hatlite import engine, log

    log.setup()
    run = engine.load_run(args.config, args.opts)
    found = engine.browse_dataset(
        run,
        args.stage or run.stages[0].name,
        args.split,
        args.out,
        indices=args.indices,
        count=args.num,
        epochs=args.epochs,
        seed=args.seed,
    )
    print("\n".join(f"{path}: {text}" for path, text in found))


if __name__ == "__main__":
    start(main, parser())
