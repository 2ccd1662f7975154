"""Say before training which operators of a config's network run on its march, which do not, why, and what to change.

Example: python tools/model_checker.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py \
    --input-shape "1,3,256,384" --json check.json

Weights are random; neither data nor a checkpoint is needed when the size of the image is given.

Exit code 0: all operators run. 1: some do not. 2: the network could not be checked.
"""

import argparse
import sys
from pathlib import Path

from hatlite.command import run_tool


def parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", "-c", required=True, help="config file")
    parser.add_argument(
        "--input-shape",
        metavar="N,C,H,W",
        help='for example "1,3,512,512"; default: deploy_inputs of the config, else the first image of validation',
    )
    parser.add_argument("--all", action="store_true", help="list the operators that run as well")
    parser.add_argument("--json", metavar="FILE", help="write every operator with its verdict here")
    parser.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override values")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> int:
    """Build the network, look at every operator, print the table."""
    from hatlite import config, engine
    from hatlite.analysis import parse_shape

    shape = parse_shape(args.input_shape) if args.input_shape else None
    run = engine.Run(config.load(args.config, args.opts), source=args.config, opts=args.opts)
    found = engine.check_model_of(run, shape)
    print(found.table(everything=args.all))
    if args.json:
        config.dump(found.to_dict(), Path(args.json))
        print(f"Written: {args.json}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments), debug=arguments.debug))
