r"""Detect with a chip model, or another program of GNetDet, in pictures, videos or what a camera sees.

Examples:
    python tools/GNetDet.py image -m out.model -i test/imgs -o test/output
    python tools/GNetDet.py video -m out.model -i road.mp4 -o drawn --conf-thresh 0.4 --fancy
    python tools/GNetDet.py camera -m out.model --camera 0 --show

The executor computes what the chip computes, integer for integer, and no chip is needed. A GNetDet.yaml beside the
model, or in the working folder, may set thresholds; what it repeats of the model, such as CAP, must agree with it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatlite.command import ToolParser, count, share, start


def parser() -> ToolParser:
    """Return the parser of this tool."""
    parser = ToolParser(__doc__)
    parser.add_argument("source", choices=("image", "video", "camera", "camara"), help="what -i is; camara is camera")
    parser.add_argument("-m", "--model", type=Path, default=Path("out.model"), help="default: ./out.model")
    parser.add_argument(
        "-i", "--input", type=Path, metavar="IN", help="a file, or a folder: .jpg, .jpeg and .png; .mp4 and .avi"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="a folder, made if missing, for out_NAME; for one input a file"
    )
    parser.add_argument("--yaml", type=Path, help="settings in place of the GNetDet.yaml that is found")
    parser.add_argument("--input-size", type=count(1), metavar="PIXELS", help="checked against the model")
    parser.add_argument("--input-format", type=int, choices=(0, 1), help="0 BGR, 1 YUV; checked against the model")
    parser.add_argument(
        "--conf-thresh", type=share, help="confidence of a box; default: the file's, else the model's, else 0.53"
    )
    parser.add_argument(
        "--prob-thresh",
        type=share,
        help="confidence times class score; default: the file's, else the model's, else 0.5",
    )
    parser.add_argument(
        "--nms-thresh", type=share, help="overlap of two boxes; default: the file's, else the model's, else 0.4"
    )
    parser.add_argument("-f", "--fancy", action="store_true", help="brackets at the corners in place of whole boxes")
    parser.add_argument("--enlarge", action="store_true", help="write small pictures larger, so that names can be read")
    parser.add_argument("--camera", type=count(0), default=0, metavar="NUMBER", help="of the camera; default: 0")
    parser.add_argument("--frames", type=count(1), metavar="NUMBER", help="end a video or camera after so many")
    parser.add_argument("--show", action="store_true", help="show it in a window: q ends, the space bar pauses")
    return parser


def main(args: argparse.Namespace) -> None:
    """Detect, draw, and say what was found and how fast."""
    from contextlib import nullcontext

    from hatlite import analysis, engine, log
    from hatlite.data.video import VIDEO_FORMATS
    from hatlite.files import output_folder

    log.setup()
    video = args.source != "image"
    formats = tuple(VIDEO_FORMATS) if video else analysis.PICTURE_FORMATS
    inputs = _inputs(args, formats)
    outputs = [None] * len(inputs)
    if args.output:
        outputs = analysis.output_paths(args.output, inputs, lambda path: f"out_{path.name}", formats, "-o")
    detector = engine.ChipDetector(args.model, _settings(args))
    window = analysis.Window(args.model.name) if args.show else None
    viz = analysis.DetViz(0.0, corners=args.fancy, enlarge=args.enlarge)
    session = engine.ChipSession(detector, viz, window)
    with output_folder(outputs[0].parent) if args.output else nullcontext():
        (_videos if video else _pictures)(args, session, inputs, outputs)
    print(session.rates())


def _inputs(args: argparse.Namespace, formats: Sequence[str]) -> list[Path]:
    """Return the files to read; of a camera the name that its recording has."""
    from hatlite.analysis import files_at
    from hatlite.errors import ConfigError

    if args.source.startswith("cam"):
        if args.input:
            raise ConfigError(f"-i is {args.input}, but a camera has a number and no file: --camera 0.")
        return [Path(f"camera{args.camera}.mp4")]
    if not args.input:
        raise ConfigError(f"-i is missing; name a folder or a file ending in {', '.join(formats)}.")
    return files_at(args.input, formats, "-i")


def _settings(args: argparse.Namespace) -> Any:
    """Return what is said about the model: here, and in the file beside it."""
    from hatlite import engine

    file = args.yaml or engine.find_settings(args.model)
    said = engine.read_settings(file) if file else engine.ChipSettings()
    if file:
        print(f"settings: {file}")
    return said.overridden(
        {
            "MODEL.INPUT.SIZE": ("--input-size", args.input_size),
            "MODEL.INPUT.FORMAT": ("--input-format", args.input_format),
            "OPTS.CONF_THRESH": ("--conf-thresh", args.conf_thresh),
            "OPTS.PROB_THRESH": ("--prob-thresh", args.prob_thresh),
            "OPTS.NMS_THRESH": ("--nms-thresh", args.nms_thresh),
        }
    )


def _pictures(args: argparse.Namespace, session: Any, inputs: list[Path], outputs: list[Path | None]) -> None:
    """Say of each picture what is in it."""
    from tqdm import tqdm

    for (file, found), output in zip(session.pictures(inputs, outputs), outputs, strict=False):  # q ends it early
        lines = session.viz.lines(found, session.detector.classes) or ["nothing"]
        tqdm.write("\n  ".join([f"{file} -> {output}" if output else str(file), *lines]))


def _videos(args: argparse.Namespace, session: Any, inputs: list[Path], outputs: list[Path | None]) -> None:
    """Say of each video how much is in it."""
    camera = args.source.startswith("cam")
    for file, output in zip(inputs, outputs, strict=True):
        if session.going:
            pictures, objects = session.video(args.camera if camera else file, output, args.frames)
            where = f" -> {output}" if output else ""
            print(f"{f'camera {args.camera}' if camera else file}: {pictures} pictures, {objects} objects{where}")


if __name__ == "__main__":
    start(main, parser())
