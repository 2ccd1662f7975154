"""Compare every integer of the quantised network with those of its .hbir program, layer by layer, at 0 LSB.

The table also says which share of each layer's integers saturates on these images.

Example: python tools/check_alignment.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --num-images 20

Exit code 0: all integers are equal. 1: some differ. 2: the check could not run.
"""

import argparse
import sys

from hatlite.command import run_tool

ROWS = 20


def count(text: str) -> int:
    """Return a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; expected a whole number from 1 up")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", "-c", required=True, help="config file of a run that has finished int_infer")
    parser.add_argument("--num-images", type=count, default=20, metavar="N", help="of the validation data; default 20")
    parser.add_argument("--ckpt", help="quantised checkpoint to take instead of the one that int_infer starts from")
    parser.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override values")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> int:
    """Check, print the worst layers and the verdict, write alignment.json into the run's folder."""
    from hatlite import config, engine, log

    log.setup()
    run = engine.Run(config.load(args.config, args.opts), source=args.config, opts=args.opts)
    report = engine.align_stage(run, args.num_images, args.ckpt)
    print(report.table(ROWS))
    print(f"Written: {run.folder / 'alignment.json'}")
    print(report.saturation_summary())
    print(report.summary())
    return 0 if report.passed else 1


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments), debug=arguments.debug))
