"""Evaluate a run's integer program on the board's own input: from the files' bytes through NV12, beside int_infer's.

Example: python tools/validation_hbir.py --stage align_bpu \
    --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --json align_bpu.json

The table goes from int_infer to the board in steps, so that each change has its share of the difference.
"""

import argparse
import sys
from pathlib import Path

from hatlite.command import run_tool


def parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", "-s", choices=("align_bpu",), default="align_bpu", help="the only one")
    parser.add_argument("--config", "-c", required=True, help="config file of a run that has finished int_infer")
    parser.add_argument("--ckpt", type=Path, help=".hbir file to take instead of the run's")
    parser.add_argument("--json", metavar="FILE", help="write the steps here")
    parser.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override values")
    parser.add_argument("--device", help="cpu, cuda or cuda:0; default: what the config says, else cpu")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> None:
    """Evaluate step by step, print the table."""
    from hatlite import config, engine, log

    log.setup()
    run = engine.Run(config.load(args.config, args.opts), source=args.config, opts=args.opts, device=args.device)
    steps = engine.align_bpu(run, args.ckpt)
    print(engine.board_table(steps))
    if args.json:
        config.dump([step.to_dict() for step in steps], Path(args.json))
        print(f"Written: {args.json}")


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments), debug=arguments.debug))
