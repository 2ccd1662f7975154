r"""Evaluate a run's integer program on the board's own input: from the files' bytes through NV12, beside int_infer's.

Examples:
    python tools/validation_hbir.py --stage align_bpu --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/align_bpu_validation.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py \
        --pretrained-ckpt tmp_models/bccd/qat-checkpoint-best.pth.tar --json align_bpu.json

Both names are one tool. The table goes from int_infer to the board in steps, so that each change has its share of the
difference.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--stage", "-s", choices=("align_bpu",), default="align_bpu", help="the only one")
    parser.add_argument(
        "--ckpt",
        "--pretrained-ckpt",
        type=Path,
        dest="ckpt",
        help=".hbir file to take instead of the run's, or a calibration or qat checkpoint, which is lowered first",
    )
    parser.add_argument("--num-workers", type=count(0), metavar="N", help="processes that load data; default: config's")
    parser.add_argument("--device-id", type=count(0), metavar="N", help="number of the GPU, as --device cuda:N")
    parser.add_argument("--json", metavar="FILE", help="write the steps here")
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Evaluate step by step, print the table."""
    from hatlite import config, engine, log
    from hatlite.errors import ConfigError

    if args.device and args.device_id is not None:
        raise ConfigError("--device and --device-id name the same thing; leave one out.")
    log.setup()
    device = args.device if args.device_id is None else f"cuda:{args.device_id}"
    run = engine.load_run(args.config, args.opts, device)
    steps = engine.align_bpu(run, args.ckpt, args.num_workers)
    print(engine.board_table(steps))
    if args.json:
        config.dump([step.to_dict() for step in steps], Path(args.json))
        print(f"Written: {args.json}")


if __name__ == "__main__":
    start(main, parser())
