"""Write the integer program of a run, or its float network, as an ONNX file, and check it in ONNX Runtime.

Example: python tools/export_onnx.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --verify 20

Beside the file lie <name>.json, which says what its outputs mean and who decodes them, and for SSD and RetinaNet with
real outputs (--float or --real) <name>.prototxt, their detection meta-architecture. With --detect the file itself goes
from an image to boxes, scores and labels.

Exit code 0: written, and what was verified is equal, or near where equality is not promised. 1: written, but something
differs, or there was no object to compare. 2: nothing could be exported.
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
        "--form", choices=("golden", "qdq", "clip"), help="of a program; default: golden, with 0 differing outputs"
    )
    parser.add_argument("--real", action="store_true", help="float32 ends instead of integers")
    parser.add_argument("--float", action="store_true", help="export the network of the float stage instead")
    parser.add_argument("--detect", action="store_true", help="with decoding and NMS in the file, of SSD and RetinaNet")
    parser.add_argument("--out", help="file to write; default: <task>-<form>.onnx in the run's folder")
    parser.add_argument(
        "--verify",
        type=count(0),
        metavar="N",
        help="compare integers on N images and on all thresholds, pairs and tables; with --detect, objects on N images;"
        " where equality is not promised, against the limits of docs/arithmetic.md, section 6",
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Export, say what was written, verify."""
    from hatlite import engine
    from hatlite.errors import ConfigError

    of_program = {"--form": args.form, "--real": args.real, "--program": args.program}
    ignored = [flag for flag, value in of_program.items() if value]
    if args.float and ignored:
        raise ConfigError(
            f"--float exports the network of the float stage, and {', '.join(ignored)}"
            f" {'is' if len(ignored) == 1 else 'are'} about an integer program; leave one side out."
        )
    if args.float and args.verify is not None and not args.detect:
        raise ConfigError(
            "--verify compares the integers of a program, which --float does not export; add --detect to compare"
            " objects, or leave one out."
        )
    if args.detect and args.verify == 0:
        raise ConfigError("--verify 0 compares no objects; give the number of images that --detect is tried on.")
    if args.form in ("qdq", "clip") and args.verify == 0:
        raise ConfigError(
            f"--verify 0 compares no output, by which the form {args.form} is judged; give a number of images."
        )
    run = engine.load_run(args.config, args.opts)
    program = None if args.float else engine.run_program(run, args.program)
    form = "float" if args.float else args.form or "golden"
    out = Path(args.out or run.folder / f"{run.task_name}-{form}{'-detect' if args.detect else ''}.onnx")
    if program is None:
        print(engine.export_float(run, out, detect=args.detect))
    else:
        print(engine.export_program(run, program, out, form, real=args.real, detect=args.detect))
    if args.verify is None:
        return 0
    if args.detect:
        report = engine.verify_detections(run, out, args.verify, program, form)
    else:
        report = engine.verify_export(run, out, program, args.verify)
    print(report.text())
    return 0 if report.passed else 1


if __name__ == "__main__":
    start(main, parser())
