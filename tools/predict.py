"""Evaluate what a stage left: ``python tools/predict.py --stage qat --config configs/….py [--ckpt FILE]``."""

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("path", nargs="?", metavar="CONFIG", help="the config, if not given by --config")
    options.add_argument("--stage", "-s", required=True, help="float, calibration, qat, int_infer, or a stage of the config")
    options.add_argument("--config", "-c", help="Python file of dicts, one complete run")
    options.add_argument("--ckpt", help="checkpoint (int_infer: .hbir) to take instead of the stage's own")
    options.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the config")
    options.add_argument("--device", help="cpu, cuda or cuda:0; default: what the config says, else cpu")
    options.add_argument("--debug", action="store_true", help="show tracebacks")
    return options


def main(argv: list[str] | None = None) -> int:
    """Parse `argv`, evaluate, print the metrics, return the exit code."""
    options = parser()
    args = options.parse_args(argv)
    source = args.config or args.path
    if source is None:
        options.error("the config is missing; give it with --config")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from hatlite.command import run_tool

    def work() -> None:
        import hatlite.engine as engine
        from hatlite import config, log

        log.setup()
        run = engine.Run(config.load(source, args.opts), source=source, device=args.device)
        for name, value in engine.predict_stage(run, args.stage, args.ckpt).items():
            print(f"{name:24} {value:.6g}")

    return run_tool(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
