"""Run one stage of a config: train, calibrate, or lower to integers; print the table of all stages so far.

Examples:
    python tools/train.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/train.py --stage qat configs/detection/fcos/fcos_efficientnetb0_bccd.py --opts qat_epochs=2 --resume

Stages follow one another: float, calibration, qat, int_infer. Each starts from what the one before it left in ckpt_dir
and says so when that is missing. A config that sets quantize says which one --stage is where it is left out: float for
False or None, qat for True or 'training', calibration for 'calibration'.
"""

import argparse

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--stage",
        "-s",
        help="float, calibration, qat, int_infer or one of the config's own, such as --stage qat; default: what the"
        " config's quantize says",
    )
    parser.add_config()
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on after an interruption, from the stage's last checkpoint: --stage float --resume",
    )
    parser.add_argument(
        "--pipeline-test",
        action="store_true",
        help="two batches in ckpt_dir/pipeline-test, to see that everything works: --stage float --pipeline-test",
    )
    parser.add_launch()
    return parser


def main(args: argparse.Namespace) -> int | None:
    """Validate the whole config, run the stage, print the table of stages."""
    from hatlite import engine

    def work(place: engine.Place) -> None:
        run, stage = engine.run_to_train(args.config, args.opts, place.device, place.flags, stage=args.stage)
        if args.pipeline_test:
            engine.cut_short(run)
        engine.run_stage(run, stage, resume=args.resume)

    return engine.launch(args, work)


if __name__ == "__main__":
    start(main, parser())
