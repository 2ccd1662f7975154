r"""Draw what a stage detects in pictures of your own, or of the validation data.

Examples:
    python tools/infer.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py \
        --model-inputs imgs:cells.jpg --save-path ./
    python tools/infer_hbir.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py \
        --model-inputs img:a.jpg,img:b.jpg --save-path ./drawn --score-threshold 0.3
    python tools/infer.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --use-dataset 0 7 --save-path ./

Both names are one tool; infer_hbir.py takes the integer program where --stage names no other stage.
"""

import argparse

from hatlite.command import ToolParser, count, share, start


def parser(stage: str | None = None) -> ToolParser:
    """Return the parser of this tool, with `stage` as the default."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--model-inputs", metavar="img:PATH[,img:PATH...]", help="JPEG or PNG files")
    parser.add_argument(
        "--use-dataset",
        nargs="*",
        type=count(0),
        metavar="INDEX",
        help="pictures of the validation data, counted from 0, instead of files; without a number those of infer_cfg",
    )
    parser.add_argument(
        "--save-path", required=True, metavar="OUT", help="a folder, made if missing; for one input a .jpg or .png"
    )
    parser.add_argument(
        "--stage",
        "-s",
        default=stage,
        help=f"float, calibration, qat or int_infer; default: {stage or 'what quantize in the config says'}"
        + ("" if stage else ", else that of --ckpt, else the last that was run"),
    )
    parser.add_argument("--ckpt", help="checkpoint or .hbir file to take instead of the stage's own")
    parser.add_argument("--score-threshold", type=share, help="smallest score to show; default: infer_cfg's, else 0.5")
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Detect in all pictures, then write and print what was found."""
    from pathlib import Path

    from hatlite import analysis, engine, log
    from hatlite.files import output_folder

    log.setup()
    named = (args.config, args.opts, args.device)
    run, stage = engine.run_to_evaluate(*named, otherwise=engine.last_stage, stage=args.stage, checkpoint=args.ckpt)
    viz = engine.visualizer(run, args.score_threshold)
    inputs = engine.chosen_pictures(run, args.model_inputs, args.use_dataset)
    names = [one if isinstance(one, Path) else Path(one["img_name"]) for one in inputs]
    outputs = analysis.picture_paths(args.save_path, names)
    with output_folder(outputs[0].parent):
        results = engine.infer_images(run, stage, inputs, args.ckpt)
        classes = engine.class_names(run, stage, args.ckpt)
        print(f"stage {stage}: {args.ckpt or engine.stage_file(run, run.stage(stage))}")
        for name, path, (image, found) in zip(names, outputs, results, strict=True):
            analysis.save_picture(viz(image, found, classes), path)
            print(f"{name} -> {path}")
            for line in viz.lines(found, classes) or [f"nothing above {viz.score_threshold:g}"]:
                print(f"  {line}")


if __name__ == "__main__":
    start(main, parser())
