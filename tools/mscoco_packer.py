"""Pack COCO's folders into an LMDB: ``tmp_data/mscoco`` with annotations becomes ``tmp_data/mscoco/train_lmdb``."""

import argparse
import sys
from pathlib import Path

from hatlite.command import run_tool


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check COCO's images and annotations and pack them into an LMDB.")
    parser.add_argument("--src-data-dir", type=Path, required=True, help="holds annotations/ and <split>2017/")
    parser.add_argument("--target-data-dir", type=Path, required=True, help="<split>_lmdb is made there")
    parser.add_argument("--split-name", choices=("train", "val"), required=True)
    parser.add_argument("--pack-type", choices=("lmdb",), default="lmdb")
    parser.add_argument("--num-workers", type=int, default=2, help="default: 2")
    parser.add_argument("--force", action="store_true", help="replace what was packed before")
    parser.add_argument("--skip-bad", action="store_true", help="leave out missing and unreadable images")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser.parse_args(argv)


def pack(args: argparse.Namespace) -> None:
    """Pack, and say what was packed."""
    from hatlite.data.packing import pack_coco

    options = {"num_workers": args.num_workers, "force": args.force, "skip_bad": args.skip_bad}
    print(pack_coco(args.src_data_dir, args.target_data_dir, args.split_name, **options))


def main() -> int:
    """Run the tool and return its exit code."""
    args = parse_args()
    return run_tool(lambda: pack(args), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
