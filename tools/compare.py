"""Draw what two or more stages find in the first validation images, side by side.

Example: python tools/compare.py --config configs/detection/fcos/fcos_efficientnetb0_shapes.py --count 8
"""

import argparse

from hatlite.command import ToolParser, count, share, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--out-dir", help="folder of the pictures; default: pictures in the run's folder")
    parser.add_argument("--stages", nargs="+", default=["float", "int_infer"], help="stages, from left to right")
    parser.add_argument("--count", type=count(1), default=8, help="number of images")
    parser.add_argument("--score-threshold", type=share, default=0.5, help="draw what scores at least this")
    return parser


def main(args: argparse.Namespace) -> None:
    """Restore every stage, detect, draw, and say where the pictures are."""
    from hatlite import engine, log

    log.setup()
    run = engine.load_run(args.config, args.opts)
    paths = engine.compare_pictures(
        run, tuple(args.stages), args.count, args.out_dir, score_threshold=args.score_threshold
    )
    print("\n".join(f"Written: {path}" for path in paths))


if __name__ == "__main__":
    start(main, parser())
