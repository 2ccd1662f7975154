"""Run one stage of a config: ``python tools/train.py --stage float --config configs/….py``."""

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("path", nargs="?", metavar="CONFIG", help="the config, if not given by --config")
    options.add_argument("--stage", "-s", required=True, help="float, calibration, qat, int_infer, or a stage of the config")
    options.add_argument("--config", "-c", help="Python file of dicts, one complete run")
    options.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override the config")
    options.add_argument("--resume", action="store_true", help="go on from the stage's last checkpoint")
    options.add_argument("--device", help="cpu, cuda or cuda:0; default: what the config says, else cpu")
    options.add_argument("--debug", action="store_true", help="show tracebacks")
    return options


def main(argv: list[str] | None = None) -> int:
    """Parse `argv`, run the stage, return the exit code."""
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
        engine.run_stage(run, args.stage, resume=args.resume)

    return run_tool(work, debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
