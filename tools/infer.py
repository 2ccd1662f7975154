"""Draw what a stage detects in pictures of your own.

Example: python tools/infer.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
             --model-inputs imgs:cells.jpg --save-path .
"""

import argparse
import sys

from hatlite.command import run_tool


def parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", "-c", required=True, help="config file: Python, dicts, one complete run")
    parser.add_argument("--model-inputs", required=True, metavar="imgs:PATH[,imgs:PATH...]", help="JPEG or PNG files")
    parser.add_argument("--save-path", required=True, metavar="OUT", help="a folder or, for one input, a .jpg or .png")
    parser.add_argument(
        "--stage", "-s", help="float, calibration, qat or int_infer; default: the last one that was run"
    )
    parser.add_argument("--ckpt", help="checkpoint (int_infer: .hbir file) to take instead of the stage's own")
    parser.add_argument("--score-threshold", type=float, default=0.5, help="smallest score to show; default: 0.5")
    parser.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override values")
    parser.add_argument("--device", help="cpu, cuda or cuda:0; default: cpu")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> None:
    """Detect in all pictures, then write and print what was found."""
    from hatlite import analysis, config, engine, log
    from hatlite.errors import ConfigError

    if args.ckpt and not args.stage:
        raise ConfigError("--ckpt needs --stage, which says what the file holds.")
    log.setup()
    inputs = analysis.parse_inputs(args.model_inputs)
    outputs = analysis.picture_paths(args.save_path, inputs)
    run = engine.Run(config.load(args.config, args.opts), source=args.config, opts=args.opts, device=args.device)
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
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments), debug=arguments.debug))
