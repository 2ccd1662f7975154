"""Print the MACs and parameters of a config's network.

Example: python tools/calops.py --config configs/detection/fcos/fcos_efficientnetb0_bccd.py --input-shape "1,3,512,512"
"""

import argparse

from hatlite.command import ToolParser, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_config()
    parser.add_argument("--input-shape", required=True, metavar="N,C,H,W", help='for example "1,3,512,512"')
    parser.add_argument("--method", choices=("hook", "fx"), default="hook", help="both give the same numbers")
    return parser


def main(args: argparse.Namespace) -> None:
    """Build the network with random weights and count."""
    import hatlite.engine  # noqa: F401 - registers every type
    from hatlite import config
    from hatlite.analysis import count, parse_shape
    from hatlite.errors import ConfigError
    from hatlite.registry import OBJECT_REGISTRY

    shape = parse_shape(args.input_shape)
    cfg = config.load(args.config, args.opts)
    key = "deploy_model" if "deploy_model" in cfg else "model"
    if key not in cfg:
        raise ConfigError(f"{args.config} sets no model; name the detector's dict `model`.", path="config['model']")
    model = OBJECT_REGISTRY.build(cfg[key], path=f"[{key!r}]")
    counts = count(getattr(model, "network", model), shape, args.method)
    print(f"{args.config}, input {'×'.join(map(str, shape))}, random weights (the counts do not depend on them)")
    for part, macs in counts.by_part().items():
        print(f"  {part:<12}{macs / 1e9:8.2f} GMACs")
    print(f"GMACs: {counts.macs / 1e9:.2f}")
    print(f"Parameters: {counts.parameters:,}")


if __name__ == "__main__":
    start(main, parser())
