"""Print a config as every stage sees it: siblings merged, overrides applied, what it leaves out filled in.

Examples:
    python tools/print_config.py configs/detection/ssd/ssd_resnet50_fpn_512_voc.py --opts num_epochs=2
    python tools/print_config.py --config configs/detection/ssd/ssd_resnet50_fpn_512_voc.py --key model.head

What is printed is a config itself: one file without siblings, in which what was filled in says so.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument(
        "--key", metavar="KEY.PATH", help="print this value alone, such as --key model.head.num_classes"
    )
    parser.add_argument("--stage", "-s", help="what a config finds as HAT_TRAINING_STEP, such as --stage qat")
    parser.add_argument("--json", metavar="FILE", help="write it here too, as a run writes <stage>-config.json")
    return parser


def main(args: argparse.Namespace) -> None:
    """Load, resolve, print."""
    from hatlite import config, engine
    from hatlite.config_text import to_python, value_text
    from hatlite.overrides import find

    run = engine.Run.load(args.config, args.opts, stage=args.stage)
    if args.stage is not None:
        run.stage(args.stage)  # a misspelt one would be believed
    value = find(run.config, args.key)[0] if args.key else run.config
    if args.json:
        config.dump(value, Path(args.json))
    marked = dict.fromkeys(run.derived, "filled in")
    print(value_text(value) if args.key else to_python(run.config, marked), end="\n" if args.key else "")


if __name__ == "__main__":
    start(main, parser())
