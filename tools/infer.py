"""Draw what a stage detects in pictures of your own.

Example: python tools/infer.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
             --model-inputs imgs:cells.jpg --save-path .
"""

import argparse

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--model-inputs", required=True, metavar="imgs:PATH[,imgs:PATH...]", help="JPEG or PNG files")
    parser.add_argument("--save-path", required=True, metavar="OUT", help="a folder or, for one input, a .jpg or .png")
    parser.add_argument(
        "--stage", "-s", help="float, calibration, qat or int_infer; default: the last one that was run"
    )
    parser.add_argument("--ckpt", help="checkpoint (int_infer: .hbir file) to take instead of the stage's own")
    parser.add_argument("--score-threshold", type=float, default=0.5, help="smallest score to show; default: 0.5")
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Detect in all pictures, then write and print what was found."""
    from hatlite import analysis, engine, log
    from hatlite.errors import ConfigError

    if args.ckpt and not args.stage:
        raise ConfigError("--ckpt needs --stage, which says what the file holds.")
    log.setup()
    inputs = analysis.parse_inputs(args.model_inputs)
    outputs = analysis.picture_paths(args.save_path, inputs)
    run = engine.Run.load(args.config, args.opts, args.device)
    stage = args.stage or engine.last_stage(run).name
    print(f"stage {stage}: {args.ckpt or engine.stage_file(run, run.stage(stage))}")
    results = engine.infer_images(run, stage, inputs, args.ckpt)
    classes = engine.class_names(run, stage, args.ckpt)
    for source, path, (image, found) in zip(inputs, outputs, results, strict=True):
        analysis.save_picture(analysis.draw_detections(image, found, classes, args.score_threshold), path)
        print(f"{source} -> {path}")
        for line in analysis.describe_detections(found, classes, args.score_threshold):
            print(f"  {line}")


if __name__ == "__main__":
    start(main, parser())
