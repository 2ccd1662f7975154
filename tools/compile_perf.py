"""Check that a config's network may run on its march, and estimate how fast: a table here, perf.json in --out-dir.

Example: python tools/compile_perf.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --out-dir ./ --opt 3
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatlite.command import ToolParser, start

if TYPE_CHECKING:
    from hatlite.program import IntProgram


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--out-dir", required=True, help="folder for perf.json")
    parser.add_argument(
        "--opt", type=int, choices=range(4), default=2, help="one level exists until the compiler is there"
    )
    parser.add_argument("--ckpt", help="a .hbir, or a calibration or qat checkpoint; default: the run's .hbir")
    return parser


def find_program(cfg: dict[str, Any], ckpt: str | None) -> "IntProgram":
    """Load the program that `ckpt` or the run holds, or lower the network; with random weights if there is nothing."""
    from hatlite.engine import Run, lower_from_config
    from hatlite.program import load

    made = Run(cfg).program()
    if ckpt is None and made.is_file():
        ckpt = str(made)
    if ckpt is not None and Path(ckpt).suffix in (".hbir", ".bc"):
        print(f"Program: {ckpt}")
        return load(ckpt)
    print(f"Checkpoint: {ckpt}" if ckpt else f"Random weights: no --ckpt is given and there is no {made} yet.")
    return lower_from_config(cfg, ckpt)


def main(args: argparse.Namespace) -> None:
    """Find or make the integer program, estimate, report."""
    from hatlite import config
    from hatlite.compiler import CompilerOptions, estimate
    from hatlite.march import get_march

    cfg = config.load(args.config, args.opts)
    program = find_program(cfg, args.ckpt)
    report = estimate(program, get_march(cfg.get("march", program.march)), CompilerOptions(args.opt))
    out = Path(args.out_dir) / "perf.json"
    config.dump(report.to_dict(), out)
    print(report.table())
    print(f"Written: {out}. It is an estimate; no file for a device is made.")


if __name__ == "__main__":
    start(main, parser())
