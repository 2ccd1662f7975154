"""Draw losses, learning rate and mAP of one run, or of several beside one another, as a PNG.

Examples:
    python tools/plot_curves.py tmp_models/fcos_efficientnetb0_bccd
    python tools/plot_curves.py tmp_models/first tmp_models/second --stage float --keys loss val/mAP --out compared.png

A run leaves <stage>-scalars.jsonl in its folder, a line of JSON for each point.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, share, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run, or a .jsonl file in it")
    parser.add_argument("--stage", "-s", nargs="+", default=[], help="stages to draw; default: all that a run has")
    parser.add_argument(
        "--keys",
        nargs="+",
        default=[],
        metavar="KEY",
        help="a plot for each, such as loss loss/cls lr val/AP75; loss is the sum; default: losses, lr, mAP and AP50",
    )
    parser.add_argument("--legend", nargs="+", default=[], metavar="NAME", help="a name for each curve of a plot")
    parser.add_argument("--by", choices=("epoch", "step"), default="epoch", help="what x is; default: epoch")
    parser.add_argument(
        "--smooth", type=share, default=0.0, help="share of the past in a moving average of losses; default: 0"
    )
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="PNG or JPEG; default: curves.png")
    return parser


def main(args: argparse.Namespace) -> None:
    """Read what the runs wrote, draw it, say how far each came."""
    from hatlite import analysis

    analysis.check_picture_name(args.out, "--out")
    series = analysis.find_series(args.runs, args.stage)
    picture = analysis.draw_curves(series, args.keys, names=args.legend, by=args.by, smooth=args.smooth)
    analysis.save_picture(picture, args.out)
    print("\n".join([*analysis.describe_series(series, args.legend), f"Written: {args.out}"]))


if __name__ == "__main__":
    start(main, parser())
