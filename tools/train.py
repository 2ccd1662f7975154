"""Run one stage of a config.

Example: python tools/train.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
"""

import argparse

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--stage", "-s", required=True, help="float, calibration, qat, int_infer or one of the config's"
    )
    parser.add_config()
    parser.add_argument("--resume", action="store_true", help="go on from the stage's last checkpoint")
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Validate the whole config, run the stage, print the table of stages."""
    from hatlite import engine, log

    log.setup()
    run = engine.Run.load(args.config, args.opts, args.device, stage=args.stage)
    engine.run_stage(run, args.stage, resume=args.resume)


if __name__ == "__main__":
    start(main, parser())
