"""Evaluate what a stage left and print its metrics.

Examples:
    python tools/predict.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/predict.py --stage int_infer configs/detection/fcos/fcos_efficientnetb0_bccd.py --ckpt bccd.hbir
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
    parser.add_argument("--ckpt", help="checkpoint or .hbir file to take instead of the stage's own, for int_infer too")
    parser.add_launch()
    return parser


def main(args: argparse.Namespace) -> int | None:
    """Restore the model, run it over the validation data, print the metrics."""
    from hatlite import engine

    def work(place: engine.Place) -> None:
        run = engine.load_run(args.config, args.opts, place.device, place.flags, stage=args.stage)
        for name, value in engine.predict_stage(run, args.stage, args.ckpt).items():
            if place.rank == 0:
                print(f"{name:<24}{value:.6g}")

    return engine.launch(args, work)


if __name__ == "__main__":
    start(main, parser())
