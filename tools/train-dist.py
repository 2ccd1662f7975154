"""Train GNetDet by the four steps of its toolkit: float, weights, activations, chip; the words are the toolkit's.

Examples:
    python tools/train-dist.py --step 1 learning-rate 1e-3 num-epochs 600 step-size 400 gamma 0.1 warmup-epochs 100
    python tools/train-dist.py --step 2 learning-rate 1e-4 checkpoint-path checkpoint/step1/best.pth
    python tools/train-dist.py --step 2 --cal checkpoint-path checkpoint/step2/best.pth
    python tools/train-dist.py --step 3 --gpus 2 batch-size 32
    python tools/train-dist.py --step 4 --config configs/detection/gnetdet/gnetdet_224_voc.py --opts ckpt_dir=runs/a

Behind the flags stand keys of the toolkit and their values, `key value` or `key=value`; --keys prints all of them and
their places in a config. Each line is one of tools/train.py, which is printed as training begins. Checkpoints lie in
the run's folder; checkpoint/step1/best.pth and its like stand for them.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start

DEFAULT = "configs/detection/gnetdet/gnetdet_448_voc.py"


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__, mixed=True)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="such as learning-rate 1e-3 num-epochs=600")
    parser.add_argument(
        "--step", "-s", type=int, choices=range(1, 5), default=1, help="1 float, 2 weights, 3 activations, 4 chip"
    )
    parser.add_argument("--cal", action="store_true", help="the calibration behind step 2: --step 2 --cal")
    parser.add_argument(
        "--fuse-bn", action="store_true", help="fold batch norms, which --step 2 does with --fuse-bn or without it"
    )
    parser.add_argument(
        "--finetune", type=count(1), metavar="N", help="the first 15 convolutions learn after N epochs: --finetune 5"
    )
    parser.add_argument("--resume", action="store_true", help="go on after an interruption: --step 1 --resume")
    parser.add_argument("--keys", action="store_true", help="print what may stand behind the flags: --keys")
    parser.add_config(positional=False, required=False)
    parser.add_device()
    group = parser.add_argument_group("several processes")
    group.add_argument(
        "--gpus", type=count(1), metavar="N", help="processes on this node, such as --gpus 2; default: 1"
    )
    group.add_argument("--world-size", type=count(1), default=1, metavar="N", help="nodes, such as --world-size 2")
    group.add_argument("--rank", type=count(0), default=0, metavar="I", help="number of this node, such as --rank 0")
    group.add_argument(
        "--dist-url",
        metavar="IP:PORT",
        help="where nodes meet, such as 192.168.3.216:8888; env:// reads"
        " WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT, where the first two count nodes too",
    )
    return parser


def main(args: argparse.Namespace) -> int | None:
    """Say it in the config's words and run the stage."""
    from hatlite import engine

    if args.keys:
        return print(engine.key_table())
    if args.fuse_bn and (note := engine.note_on_fusing(args.step)):
        return print(note)
    words = engine.read_words(args.overrides)
    engine.read_given(words)  # a slip is told before processes start
    config = args.config or str(_near(Path(__file__).parents[1] / DEFAULT))

    def work(place: engine.Place) -> None:
        flags = place.flags if args.gpus or nodes else ()  # one process is what other tools start anyway
        more = {"opts": args.opts, "device": place.device, "flags": flags}
        run, stage = engine.step_run(config, args.step, words, calibrate=args.cal, finetune=args.finetune, **more)
        engine.run_stage(run, stage, resume=args.resume)

    where, nodes = engine.placement(args)
    return engine.launch(where, work, nodes)


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    start(main, parser())
