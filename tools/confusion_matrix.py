r"""Say which classes a stage takes for which, what it misses and what it finds where nothing is.

Example: python tools/confusion_matrix.py --stage qat --config configs/detection/fcos/fcos_efficientnetb0_bccd.py \
    --score-threshold 0.3 --iou-threshold 0.5 --out confusion

A detection takes, of the objects that it overlaps enough, whatever their class, the one that it overlaps most.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, share, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--stage",
        "-s",
        help="float, calibration, qat, int_infer; default: what quantize in the config says, else that of --ckpt, else"
        " the last that was run",
    )
    parser.add_config()
    parser.add_argument("--ckpt", help="checkpoint or .hbir file to take instead of the stage's own")
    parser.add_argument("--score-threshold", type=share, default=0.3, help="smallest score that counts; default: 0.3")
    parser.add_argument("--iou-threshold", type=share, default=0.5, help="smallest IoU that is enough; default: 0.5")
    parser.add_argument(
        "--out", type=Path, help="folder of confusion_matrix.png and .csv, made if missing; default: the run's folder"
    )
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Evaluate the stage on the validation data, count, draw, print a line for each class."""
    from hatlite import analysis, engine, files, log
    from hatlite.errors import ConfigError
    from hatlite.metrics import ConfusionMatrix

    log.setup()
    if args.out and args.out.suffix and not args.out.is_dir():
        raise ConfigError(
            f"--out {args.out} looks like a file; expected a folder, such as {args.out.with_suffix('')}, for"
            " confusion_matrix.png and confusion_matrix.csv."
        )
    matrix = ConfusionMatrix(score_threshold=args.score_threshold, iou_threshold=args.iou_threshold)
    named = (args.config, args.opts, args.device)
    run, stage = engine.run_to_evaluate(*named, otherwise=engine.last_stage, stage=args.stage, checkpoint=args.ckpt)
    picture, table = (
        (args.out or run.folder) / "confusion_matrix.png",
        (args.out or run.folder) / "confusion_matrix.csv",
    )
    with files.output_folder(picture.parent):
        engine.predict_stage(run, stage, args.ckpt, beside=[matrix])
        counts, names = matrix.counts(), matrix.names
        title = f"{stage}: percent of each row, scores from {args.score_threshold:g}, IoU from {args.iou_threshold:g}"
        analysis.save_picture(analysis.draw_confusion(counts, names, title), picture)
        with files.whole_file(table) as unfinished:
            unfinished.write_text(analysis.confusion_csv(counts, names), encoding="utf-8")
    print("\n".join([f"stage {stage}", *analysis.confusion_lines(counts, names), f"Written: {picture}, {table}"]))


if __name__ == "__main__":
    start(main, parser())
