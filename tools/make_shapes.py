"""Draw a data set of shapes in COCO's or Pascal VOC's layout, the same for the same seed.

Example: python tools/make_shapes.py --out tmp_data/demo/shapes --split train --num-images 2000 --image-size 128x128
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start


def image_size(text: str) -> tuple[int, int]:
    """Read ``192x256`` as height 192 and width 256."""
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected HEIGHTxWIDTH, such as 192x192") from None
    return height, width


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", choices=("train", "val"), required=True)
    parser.add_argument("--num-images", type=count(1), default=1000, help="default: 1000")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same images; default: 0")
    parser.add_argument("--image-size", type=image_size, default=(192, 192), metavar="HxW", help="default: 192x192")
    parser.add_argument("--layout", choices=("coco", "voc"), default="coco", help="default: coco")
    parser.add_argument("--num-workers", type=count(0), default=2, help="default: 2")
    parser.add_argument("--force", action="store_true", help="replace a split that exists")
    return parser


def main(args: argparse.Namespace) -> None:
    """Draw, write, and say what was written."""
    from hatlite.data.shapes_file import write_shapes

    print(
        write_shapes(
            args.out,
            args.split,
            num_images=args.num_images,
            seed=args.seed,
            size=args.image_size,
            num_workers=args.num_workers,
            layout=args.layout,
            force=args.force,
        )
    )


if __name__ == "__main__":
    start(main, parser())
