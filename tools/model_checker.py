"""Say before training which operators of a config's network run on its march, which do not, why, and what to change.

Example: python tools/model_checker.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py \
    --input-shape "1,3,256,384" --json check.json

Weights are random; neither data nor a checkpoint is needed when the size of the image is given.

Exit code 0: all operators run. 1: some do not. 2: the network could not be checked.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument(
        "--input-shape",
        metavar="N,C,H,W",
        help='for example "1,3,512,512"; default: deploy_inputs or anchors, else the first image of validation',
    )
    parser.add_argument("--all", action="store_true", help="list the operators that run as well")
    parser.add_argument("--json", metavar="FILE", help="write every operator with its verdict here")
    return parser


def main(args: argparse.Namespace) -> int:
    """Build the network, look at every operator, print the table."""
    from hatlite import config, engine
    from hatlite.analysis import parse_shape

    shape = parse_shape(args.input_shape) if args.input_shape else None
    run = engine.load_run(args.config, args.opts)
    found = engine.check_model_of(run, shape)
    print(found.table(everything=args.all))
    if args.json:
        config.dump(found.to_dict(), Path(args.json))
        print(f"Written: {args.json}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    start(main, parser())
