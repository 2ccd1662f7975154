"""Evaluate what a stage left and print its metrics.

Example: python tools/predict.py --stage int_infer --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
"""

import argparse
import sys

from hatlite.command import run_tool


def parser() -> argparse.ArgumentParser:
    """Return the parser of this tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", metavar="CONFIG", help="config file, where --config is left out")
    parser.add_argument(
        "--stage", "-s", required=True, help="float, calibration, qat, int_infer or one of the config's"
    )
    parser.add_argument("--config", "-c", help="config file: Python, dicts, one complete run")
    parser.add_argument("--ckpt", help="checkpoint (int_infer: .hbir file) to take instead of the stage's own")
    parser.add_argument("--opts", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override values")
    parser.add_argument("--device", help="cpu, cuda or cuda:0; default: what the config says, else cpu")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(args: argparse.Namespace) -> None:
    """Restore the model, run it over the validation data, print the metrics."""
    from hatlite import config, engine, log
    from hatlite.errors import ConfigError

    source = args.config or args.path
    if source is None:
        raise ConfigError("The config is missing; give it with --config.")
    log.setup()
    run = engine.Run(config.load(source, args.opts), source=source, opts=args.opts, device=args.device)
    for name, value in engine.predict_stage(run, args.stage, args.ckpt).items():
        print(f"{name:<24}{value:.6g}")


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments), debug=arguments.debug))
