"""Write a split of a Pascal VOC data set in COCO's layout, and link or copy its images.

Example: python tools/voc2coco.py --voc-dir tmp_data/VOC2007 --split trainval --out tmp_data/voc_coco --out-split train
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("--voc-dir", type=Path, required=True, help="holds Annotations, ImageSets and JPEGImages")
    parser.add_argument("--split", required=True, help="a list in ImageSets/Main, such as trainval")
    parser.add_argument("--out", type=Path, required=True, help="folder of the COCO data set")
    parser.add_argument(
        "--out-split", help="name of the split there (default: the same); the packer takes train and val"
    )
    parser.add_argument("--classes", nargs="+", help="class names in order (default: all that occur, sorted)")
    parser.add_argument(
        "--skip-unknown-classes", action="store_true", help="leave out objects whose class --classes lacks"
    )
    parser.add_argument(
        "--allow-absent-classes", action="store_true", help="--classes may have names that no annotation has"
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="take sizes that are missing from the images, clip boxes to them, leave out those that are none",
    )
    parser.add_argument("--copy", action="store_true", help="copy the images instead of linking to them")
    parser.add_argument("--force", action="store_true", help="replace a split that exists")
    return parser


def main(args: argparse.Namespace) -> None:
    """Convert, and say what was written."""
    from hatlite.data.voc_to_coco import voc_to_coco

    flags = ("classes", "copy", "force", "repair", "skip_unknown_classes", "allow_absent_classes")
    options = {flag: getattr(args, flag) for flag in flags}
    print(voc_to_coco(args.voc_dir, args.split, args.out, args.out_split or args.split, **options))


if __name__ == "__main__":
    start(main, parser())
