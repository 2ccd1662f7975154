"""Write the integer program of a run as an ONNX file, and check it in the ONNX Runtime of this machine.

Example: python tools/export_onnx.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --verify 20

Exit code 0: written, and what was verified is equal. 1: written, but integers differ. 2: nothing could be exported.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--program", help="a .hbir file; default: the run's")
    parser.add_argument(
        "--form", choices=("golden", "qdq", "clip"), default="golden", help="golden: 0 differing outputs"
    )
    parser.add_argument("--real", action="store_true", help="float32 ends instead of integers")
    parser.add_argument("--float", action="store_true", help="export the network of the float stage; not verified")
    parser.add_argument("--out", help="file to write; default: <task>-<form>.onnx in the run's folder")
    parser.add_argument(
        "--verify", type=count(0), metavar="N", help="compare on N images and on all thresholds, pairs and tables"
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Export, say what was written, verify."""
    from hatlite import engine
    from hatlite.errors import ConfigError

    if args.float and args.verify is not None:
        raise ConfigError("--verify compares the integers of a program, which --float does not export; leave one out.")
    run = engine.load_run(args.config, args.opts)
    out = Path(args.out or run.folder / f"{run.task_name}-{'float' if args.float else args.form}.onnx")
    if args.float:
        engine.export_float(run, out)
    else:
        program = engine.run_program(run, args.program)
        engine.export_program(program, out, args.form, real=args.real)
    print(f"Written: {out}")
    if args.float or args.verify is None:
        return 0
    report = engine.verify_export(run, out, program, args.verify)
    print(report.table(), report.summary(), sep="\n")
    return 0 if report.passed else 1


if __name__ == "__main__":
    start(main, parser())
