"""Evaluate what a stage left and print its metrics.

Without --stage the config's quantize decides: the last quantised stage that left a checkpoint, or float where it is
False, None or not there.

Examples:
    python tools/predict.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/predict.py --stage int_infer configs/detection/fcos/fcos_efficientnetb0_bccd.py --ckpt bccd.hbir
    python tools/predict.py --stage qat configs/detection/fcos/fcos_efficientnetb0_bccd.py --show-dir ./painted
"""

import argparse

from hatlite.command import ToolParser, share, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--stage",
        "-s",
        help="float, calibration, qat, int_infer or one of the config's; default: what its quantize says, else float",
    )
    parser.add_config()
    parser.add_argument("--ckpt", help="checkpoint or .hbir file to take instead of the stage's own, for int_infer too")
    parser.add_argument("--show-dir", metavar="DIR", help="paint each image's objects and detections into this folder")
    parser.add_argument(
        "--show-score-thr", type=share, help="smallest score to paint, where --show-dir paints; default: 0.3"
    )
    parser.add_launch()
    return parser


def main(args: argparse.Namespace) -> int | None:
    """Restore the model, run it over the validation data, print the metrics, paint what is asked for."""
    from contextlib import nullcontext

    from hatlite import analysis, engine, files
    from hatlite.errors import ConfigError

    if args.show_score_thr is not None and args.show_dir is None:
        raise ConfigError("--show-score-thr says what is painted, and nothing is; add --show-dir DIR, or leave it out.")
    threshold = {} if args.show_score_thr is None else {"score_threshold": args.show_score_thr}

    def work(place: engine.Place) -> None:
        named = (args.config, args.opts, place.device, place.flags)
        run, stage = engine.run_to_evaluate(
            *named, otherwise=engine.float_stage, stage=args.stage, checkpoint=args.ckpt
        )
        paints = args.show_dir is not None and place.rank == 0
        painted = [analysis.PaintedResults(args.show_dir, stage, **threshold)] if paints else []
        with files.output_folder(args.show_dir) if paints else nullcontext():
            metrics = engine.predict_stage(run, stage, args.ckpt, beside=painted)
        if place.rank == 0:
            print("\n".join(f"{name:<24}{value:.6g}" for name, value in metrics.items()))
        for one in painted:
            print(f"Painted: {one.painted} images in {one.folder}")

    return engine.launch(args, work)


if __name__ == "__main__":
    start(main, parser())
