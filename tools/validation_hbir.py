"""Evaluate a run's integer program on the board's own input: from the files' bytes through NV12, beside int_infer's.

Example: python tools/validation_hbir.py --stage align_bpu \
    --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --json align_bpu.json

The table goes from int_infer to the board in steps, so that each change has its share of the difference.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("--stage", "-s", choices=("align_bpu",), default="align_bpu", help="the only one")
    parser.add_config()
    parser.add_argument("--ckpt", type=Path, help=".hbir file to take instead of the run's")
    parser.add_argument("--json", metavar="FILE", help="write the steps here")
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Evaluate step by step, print the table."""
    from hatlite import config, engine, log

    log.setup()
    run = engine.Run.load(args.config, args.opts, args.device)
    steps = engine.align_bpu(run, args.ckpt)
    print(engine.board_table(steps))
    if args.json:
        config.dump([step.to_dict() for step in steps], Path(args.json))
        print(f"Written: {args.json}")


if __name__ == "__main__":
    start(main, parser())
