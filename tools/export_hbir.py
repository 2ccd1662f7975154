"""Lower the quantised network of a run to integers and write its .hbir program and certificate.

It is the lowering of `train.py --stage int_infer`, which compares and evaluates the program as well, and writes the
same file. No data are needed where the config has deploy_inputs.

Example: python tools/export_hbir.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
"""

import argparse

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--ckpt", help="calibration or qat checkpoint to take instead of the one of the run")
    parser.add_device()
    return parser


def main(args: argparse.Namespace) -> None:
    """Export, say where the program is."""
    from hatlite import engine, log

    log.setup()
    run = engine.Run.load(args.config, args.opts, args.device)
    print(f"Written: {engine.export_stage(run, args.ckpt)}")


if __name__ == "__main__":
    start(main, parser())
