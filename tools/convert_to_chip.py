"""Write a trained GNetDet as a chip model: out.model, GNetDet.yaml, relu_cap.txt and JSON files, in model/ of a run.

Examples:
    python tools/convert_to_chip.py
    python tools/convert_to_chip.py --config configs/detection/gnetdet/gnetdet_224_voc.py -o model/out.model
    python tools/convert_to_chip.py --ckpt tmp_models/gnetdet_448_voc/gnetdet_448_voc.hbir
    python tools/convert_to_chip.py best-ckpt-path checkpoint/step4/last.pth conf-thresh 0.5

It is lowered anew from the checkpoint of step 4. Behind the flags may stand the toolkit's keys and their values, as for
tools/train-dist.py; best-ckpt-path, out-model-path and dump-mode are --ckpt, --out and --learning. Every limit of the
GTI 5801 is checked before a file is written, and the model is read back: it holds the integers of the program, to the
last bit. out.model is hatlite's own container (docs/chip_model.md) for tools/GNetDet.py; it is not the vendor's binary,
and no SDK loads it.

--verify then runs what was written, as tools/GNetDet.py does, beside the network of the checkpoint. Exit code 0: all
was written, and is equal bit for bit. 1: written, but something differs. 2: there is nothing that could be written, or
nothing to compare.
"""

import argparse
from pathlib import Path

from hatlite.command import ToolParser, count, start

DEFAULT_CONFIG = "configs/detection/gnetdet/gnetdet_448_voc.py"


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__, mixed=True)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="such as best-ckpt-path FILE conf-thresh 0.5")
    parser.add_config(positional=False, required=False)
    parser.add_argument("--ckpt", help="checkpoint of step 4 or .hbir to take instead of the run's")
    parser.add_argument("-o", "--out", metavar="OUT", help="file NAME.model, or folder; default: RUN/model/out.model")
    for flag, what in (("--learning", "all sublayers"), ("--last-layer-out", "the last sublayer")):
        parser.add_argument(
            flag,
            nargs="*",
            type=count(1),
            metavar="MAJOR",
            help=f"let the layers' JSON ask the chip for the results of {what} of these major layers; without a number"
            " of all. The two kinds do not mix",
        )
    parser.add_argument(
        "--verify",
        type=_images,
        metavar="N",
        help="compare pixels, integers and real outputs with those of the trained network, on N pictures of the"
        " validation data or on all",
    )
    parser.add_device()
    return parser


def _images(text: str) -> int | str:
    """Read a number of pictures, or all."""
    try:
        return text if text == "all" else count(1)(text)
    except argparse.ArgumentTypeError as problem:
        raise argparse.ArgumentTypeError(f"{problem}, or all") from None


def main(args: argparse.Namespace) -> int:
    """Convert, show the major layers, say where the files are, and verify."""
    from hatlite import chip, engine, log

    log.setup()
    config = args.config or str(Path(__file__).parents[1] / DEFAULT_CONFIG)
    words, named = engine.read_words(args.overrides), {"opts": args.opts, "device": args.device}
    run, arguments = engine.step_to_convert(config, words, args.ckpt, **named)
    flags = {"out": args.out, "learning": args.learning, "last_layer_out": args.last_layer_out}
    arguments |= {name: value or "all" for name, value in flags.items() if value is not None}
    files = engine.convert_to_chip(run, **arguments)
    print(chip.chip_summary(files.program))
    for path in (files.model, files.caps, files.layers, files.network, files.settings):
        print(f"Written: {path}")
    print(f"{files.model} is hatlite's own container and not the vendor's binary: run it by tools/GNetDet.py.")
    if args.verify is None:
        return 0
    report = engine.verify_chip(
        run, files.model, None if args.verify == "all" else args.verify, arguments.get("checkpoint")
    )
    print(report.text())
    return 0 if report.passed else 1


if __name__ == "__main__":
    start(main, parser())
