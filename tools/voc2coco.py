"""Turn a split of a Pascal VOC data set into COCO's layout."""

import argparse
import sys
from pathlib import Path

from hatlite.command import run_tool


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Write a Pascal VOC split as COCO annotations, and link or copy images."
    )
    parser.add_argument("--voc-dir", type=Path, required=True, help="holds Annotations, ImageSets and JPEGImages")
    parser.add_argument("--split", required=True, help="a list in ImageSets/Main, such as trainval")
    parser.add_argument("--out", type=Path, required=True, help="folder of the COCO data set")
    parser.add_argument(
        "--out-split", help="name of the split there (default: the same); the packer takes train and val"
    )
    parser.add_argument("--classes", nargs="+", help="class names in order (default: all that occur, sorted)")
    parser.add_argument("--copy", action="store_true", help="copy the images instead of linking to them")
    parser.add_argument("--force", action="store_true", help="replace a split that exists")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Convert, and say what was written."""
    from hatlite.data.voc_to_coco import voc_to_coco

    options = {"classes": args.classes, "copy": args.copy, "force": args.force}
    print(voc_to_coco(args.voc_dir, args.split, args.out, args.out_split or args.split, **options))


if __name__ == "__main__":
    arguments = parse_args()
    sys.exit(run_tool(lambda: convert(arguments), debug=arguments.debug))
