"""Write the metadata of GNetDet for a Pascal VOC folder: a line for each image with its objects, for train and valid.

Example: python tools/voc_to_meta.py --voc-dir data/VOC0712 --classes cat dog
    writes data/meta/VOC0712_train.txt and data/meta/VOC0712_valid.txt from data/VOC0712/{Annotations,JPEGImages}
Example: python tools/voc_to_meta.py --config configs/detection/gnetdet/gnetdet_448_voc.py
    writes the files that the config's data sets read
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, share, start

DEFAULT_CONFIG = "configs/detection/gnetdet/gnetdet_448_voc.py"


def renaming(text: str) -> tuple[str, str]:
    """Read ``motorcycle=motorbike``."""
    old, sign, new = (part.strip() for part in text.partition("="))
    if not (old and sign and new):
        raise argparse.ArgumentTypeError(f"is {text!r}; expected OLD=NEW, such as motorcycle=motorbike")
    return old, new


def seed(text: str) -> int:
    """Read a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"is {text!r}; expected a whole number from 0 up")
    return int(text)


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config(positional=False, required=False)
    parser.add_argument("load_factor", nargs="?", type=share, default=1.0, help="share of the annotations that is used")
    parser.add_argument(
        "--voc-dir", type=Path, help=f"holds Annotations and JPEGImages; default: what {DEFAULT_CONFIG} reads"
    )
    parser.add_argument("--classes", nargs="+", help="class names in order; default: the config's, or all that occur")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same split; default: 0")
    parser.add_argument("--train-share", type=share, default=0.85, help="share of the images in train; default: 0.85")
    parser.add_argument(
        "--split-by-name", action="store_true", help="train with images whose name holds 'train', not with a share"
    )
    parser.add_argument("--keep-empty", action="store_true", help="keep images without objects")
    parser.add_argument(
        "--keep-difficult", action="store_true", help="keep difficult objects and crowds, as objects like others"
    )
    parser.add_argument(
        "--remap", nargs="+", type=renaming, default=[], metavar="OLD=NEW", help="other names for classes of the files"
    )
    parser.add_argument(
        "--drop-small",
        type=int,
        choices=(224, 448),
        help="leave out objects below 14×14 pixels in a picture of this side",
    )
    parser.add_argument(
        "--skip-unknown-classes", action="store_true", help="leave out objects whose class is not in the list"
    )
    parser.add_argument(
        "--repair", action="store_true", help="take missing sizes from the images, clip boxes, leave out what is none"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    return parser


def main(args: argparse.Namespace) -> None:
    """Write both files, and say what is in them."""
    from dataclasses import replace

    from hatlite import config
    from hatlite.data.voc_to_meta import MetaChoice, MetaFiles, voc_to_meta

    if args.voc_dir is not None:
        files = MetaFiles.beside(args.voc_dir, args.classes)
    else:
        path = args.config or str(Path(__file__).parents[1] / DEFAULT_CONFIG)
        files = MetaFiles.of_config(config.load(path, args.opts), path)
        files = replace(files, classes=args.classes or files.classes)
    flags = ("train_share", "seed", "keep_empty", "keep_difficult", "drop_small", "repair", "skip_unknown_classes")
    choice = MetaChoice(
        share=args.load_factor,
        by_name=args.split_by_name,
        remap=dict(args.remap),
        **{flag: getattr(args, flag) for flag in flags},
    )
    print(voc_to_meta(files, choice, force=args.force))


if __name__ == "__main__":
    start(main, parser())
