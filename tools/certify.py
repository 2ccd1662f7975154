"""Prove which engines give the integers of a program, layer by layer and channel by channel, for every possible input.

Examples:
    python tools/certify.py tmp_models/bccd/bccd.hbir --json certificate.json
    python tools/certify.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/certify.py --check tmp_models/bccd/certificate.json

With --config the table also says how far weight scales moved, and certificate.json and .md of the run are written anew.

Exit code 0: proven, or the certificate holds. 1: it does not. 2: a file cannot be used, or --require is not met.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, start
from hatlite.errors import ProgramError


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config(positional=False, required=False)
    parser.add_argument(
        "program", nargs="?", help=".hbir file, or a config; with --check, default: the one beside the certificate"
    )
    parser.add_argument("--check", metavar="FILE", help="prove a certificate.json anew and say whether it holds")
    parser.add_argument("--json", metavar="FILE", help="write the certificate here")
    parser.add_argument(
        "--require", nargs="+", action="extend", default=[], metavar="RULE", help="rules that all layers must have"
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Prove, print the table, write what was asked for; or check."""
    if args.program and args.config:
        raise ProgramError(f"Two things are to be certified, {args.program} and the run of {args.config}; name one.")
    if args.program and Path(args.program).suffix == ".py":
        args.program, args.config = None, args.program
    if args.check:
        return check(Path(args.check), args.program)
    certificate = of_a_run(args) if args.config else of_a_file(args.program)
    from hatlite import config, program

    print(program.certificate_table(certificate))
    if args.json:
        config.dump(certificate.to_dict(), Path(args.json))
        print(f"Written: {args.json}")
    for rule in args.require:
        certificate.require(rule)
    return 0


def of_a_file(path: str | None):
    """Return the certificate of a `.hbir` file; needs no torch."""
    from hatlite import program

    if path is None:
        raise ProgramError("There is nothing to certify: name a .hbir file, or a run with --config.")
    return program.certify(path)


def of_a_run(args: argparse.Namespace):
    """Return the certificate of a run's program, with what its graph knows."""
    from hatlite import engine

    return engine.certify_stage(engine.load_run(args.config, args.opts))


def check(path: Path, named: str | None) -> int:
    """Say whether the certificate at `path` holds."""
    from hatlite import program

    stated = program.read_certificate(path)
    about = named or path.parent / Path(str(stated.get("program"))).name
    wrong = program.check_certificate(stated, about)
    print("\n".join([f"{path} does not hold:", *(f"  {one}" for one in wrong)]) if wrong else f"{path} holds: {about}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    start(main, parser())
