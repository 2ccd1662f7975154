"""Pascal VOC's average precision of what a step has left: IoU above 0.5, boxes a pixel wider, all points of the curve.

Examples:
    python tools/eval_voc.py -s 1
    python tools/eval_voc.py -s 4 -p checkpoint/step4/best.pth
    python tools/eval_voc.py -s 2 -p qat-checkpoint-last.pth.tar --config configs/detection/gnetdet/gnetdet_224_voc.py

VOC_mAP is their mean. What the config measures beside it, such as COCO's mAP, comes from the same detections; a VOC
metric of its own gives way to this one. tools/predict.py evaluates any stage of any config.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start

DEFAULT = "configs/detection/gnetdet/gnetdet_448_voc.py"


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        "--step", "-s", type=int, choices=range(1, 5), default=1, help="1 float, 2 weights, 3 activations, 4 chip"
    )
    parser.add_argument("--ckpt", "-p", help="file, or checkpoint/stepN/best.pth; default: what the step has left")
    parser.add_config(positional=False, required=False)
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Restore the model, run it over the validation data, print the precision of every class and their mean."""
    from hatlite import engine, log
    from hatlite.metrics import VOCMApMetric

    log.setup()
    config = args.config or str(Path(__file__).parents[1] / DEFAULT)
    named = {"opts": args.opts, "device": args.device}
    run, stage, checkpoint = engine.step_to_evaluate(config, args.step, args.ckpt, **named)
    voc = VOCMApMetric(mode="area", iou_threshold=0.5, legacy_widths=True, prefix="VOC_")
    found = engine.predict_stage(run, stage, checkpoint, beside=[voc])
    print("\n".join(f"{name:<24}{value:.6g}" for name, value in found.items()))


if __name__ == "__main__":
    start(main, parser())
