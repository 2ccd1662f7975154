"""Check COCO's images and annotations and pack them into an LMDB, which training reads.

Example: python tools/mscoco_packer.py --src-data-dir ./coco --target-data-dir ./coco --split-name train

It reads annotations/instances_train2017.json and train2017/ and makes train_lmdb/.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("--src-data-dir", type=Path, required=True, help="holds annotations/ and <split>2017/")
    parser.add_argument("--target-data-dir", type=Path, required=True, help="<split>_lmdb is made there")
    parser.add_argument("--split-name", choices=("train", "val"), required=True)
    parser.add_argument("--pack-type", choices=("lmdb",), default="lmdb", help="the only one")
    parser.add_argument("--num-classes", type=count(1), metavar="N", help="refuse annotations with another number")
    parser.add_argument("--num-workers", type=count(0), default=2, help="default: 2")
    parser.add_argument("--force", action="store_true", help="replace what was packed before")
    parser.add_argument("--skip-bad", action="store_true", help="leave out missing and unreadable images")
    return parser


def main(args: argparse.Namespace) -> None:
    """Pack, and say what was packed."""
    from hatlite.data.packing import pack_coco

    options = {"num_workers": args.num_workers, "force": args.force, "skip_bad": args.skip_bad}
    options["num_classes"] = args.num_classes
    print(pack_coco(args.src_data_dir, args.target_data_dir, args.split_name, **options))


if __name__ == "__main__":
    start(main, parser())
