"""Count the MACs and parameters of a config's network, module by module, by two rules.

Examples:
    python tools/calops.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --input-shape "1,3,512,512"
    python tools/calops.py configs/detection/fcos/fcos_efficientnetb0_mscoco.py --depth 4 --json calops.json

"convolutions" counts convolutions and linear layers only; "mmcv" counts as mmcv and mmdetection do: bias, 2 per input
of a batch norm, 1 per output of an activation, 1 per input of a pool. Weights are random, the counts do not depend on
them; neither data nor a checkpoint is needed.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument(
        "--input-shape",
        metavar="N,C,H,W",
        help='for example "1,3,512,512"; default: calops_cfg of the config, else deploy_inputs or anchors',
    )
    parser.add_argument(
        "--method", choices=("hook", "fx"), help="both give the same numbers; default: calops_cfg, hook"
    )
    parser.add_argument("--depth", type=count(0), default=2, metavar="N", help="levels of modules to list; default: 2")
    parser.add_argument("--json", metavar="FILE", help="write all modules and totals here")
    return parser


def main(args: argparse.Namespace) -> None:
    """Build the network, count, print the tree and the totals."""
    from hatlite import config, engine
    from hatlite.analysis import counts_table, counts_to_dict, parse_shape

    shape = parse_shape(args.input_shape) if args.input_shape else None
    counts = engine.complexity_of(engine.load_run(args.config, args.opts), shape, args.method)
    print(f"{args.config}, input {'×'.join(map(str, counts.shape))}")
    print(counts_table(counts, args.depth))
    if args.json:
        config.dump(counts_to_dict(counts), Path(args.json))
        print(f"Written: {args.json}")


if __name__ == "__main__":
    start(main, parser())
