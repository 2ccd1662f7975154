"""Compare every integer of the quantised network with those of its .hbir program, layer by layer, at 0 LSB.

The table also says which share of each layer's integers saturates on these images.

Example: python tools/check_alignment.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --num-images 20

Exit code 0: all integers are equal. 1: some differ. 2: the check could not run.
"""

import argparse

from hatlite.command import ToolParser, count, start

ROWS = 20


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument(
        "--num-images", type=count(1), default=20, metavar="N", help="of the validation data; default 20"
    )
    parser.add_argument("--ckpt", help="quantised checkpoint to take instead of the one that int_infer starts from")
    return parser


def main(args: argparse.Namespace) -> int:
    """Check, print the worst layers and the verdict, write alignment.json into the run's folder."""
    from hatlite import engine, log

    log.setup()
    run = engine.load_run(args.config, args.opts)
    report = engine.align_stage(run, args.num_images, args.ckpt)
    print(report.table(ROWS))
    print(f"Written: {run.folder / 'alignment.json'}")
    print(report.saturation_summary())
    print(report.summary())
    return 0 if report.passed else 1


if __name__ == "__main__":
    start(main, parser())
