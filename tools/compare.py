"""Draw what two or more stages find in the first validation images, side by side.

Example: python tools/compare.py --config configs/detection/fcos/fcos_efficientnetb0_shapes.py --count 8
"""

import argparse
import sys

from hatlite.command import run_tool


def parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", "-c", required=True, help="config file")
    parser.add_argument("--out-dir", help="folder of the pictures; default: pictures in the run's folder")
    parser.add_argument("--stages", nargs="+", default=["float", "int_infer"], help="stages, from left to right")
    parser.add_argument("--count", type=int, default=8, help="number of images")
    parser.add_argument("--score-threshold", type=float, default=0.5, help="draw what scores at least this")
    parser.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override values")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> None:
    """Restore every stage, detect, draw, and say where the pictures are."""
    from hatlite import config, engine, log

    log.setup()
    run = engine.Run(config.load(args.config, args.opts), source=args.config, opts=args.opts)
    paths = engine.compare_pictures(
        run, tuple(args.stages), args.count, args.out_dir, score_threshold=args.score_threshold
    )
    print("\n".join(f"Written: {path}" for path in paths))


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments), debug=arguments.debug))
