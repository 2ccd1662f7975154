"""Check that a config's network may run on its march, and estimate how fast: a table here, perf.json in --out-dir.

Examples:
    python tools/compile_perf.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --out-dir ./ --opt 3
    python tools/compile_perf_hbir.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py

Both names are one tool. What is not given is taken from the config's compile_cfg (march, name, out_dir, opt).
"""

import argparse
from dataclasses import replace
from pathlib import Path

from hatlite.command import ToolParser, count, start

LEVELS = [*"0123", "O0", "O1", "O2", "O3"]


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--out-dir", type=Path, help="folder for perf.json; default: compile_cfg's, else ./")
    parser.add_argument(
        "--opt", choices=LEVELS, help="level, 0 to 3; default: compile_cfg's, else 2; all mean the same so far"
    )
    parser.add_argument("--ckpt", help="a .hbir, or a calibration or qat checkpoint; default: the run's .hbir")
    parser.add_argument("--random-params", action="store_true", help="random weights, even where the run has a .hbir")
    parser.add_argument("--jobs", type=count(1), default=1, metavar="N", help="processes; an estimate needs one")
    return parser


def main(args: argparse.Namespace) -> None:
    """Find or make the integer program, estimate, report."""
    from hatlite import config, engine
    from hatlite.compiler import CompilerOptions
    from hatlite.errors import ConfigError
    from hatlite.files import output_folder

    if args.ckpt and args.random_params:
        raise ConfigError("--ckpt and --random-params contradict one another; leave one out.")
    run = engine.load_run(args.config, args.opts)
    settings = engine.perf_settings(run)
    if args.opt is not None:
        settings = replace(settings, options=CompilerOptions.parse(args.opt))
    with output_folder(args.out_dir or settings.out_dir) as folder:
        report, origin = engine.estimate_run(run, settings, args.ckpt, random_params=args.random_params)
        out = folder / "perf.json"
        config.dump(report.to_dict(), out)
    print(f"{origin}\n{report.table()}\nWritten: {out}. It is an estimate; no file for a device is made.")


if __name__ == "__main__":
    start(main, parser())
