"""A chip model on pictures, videos and cameras, computed by the executor: no config, no run, no chip."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hatlite.analysis import DetViz, Window, save_picture
from hatlite.data import Collate2D
from hatlite.data.image import header_size, read_image
from hatlite.data.transforms import Pad, QuantizePixels, Resize, ToTensor
from hatlite.data.video import VideoReader, video_file
from hatlite.engine.chip_settings import THRESHOLDS, ChipSettings
from hatlite.engine.infer import as_sample, transformed
from hatlite.engine.ir_infer import GNetDetIrInfer, HbirModule
from hatlite.engine.program_files import is_program
from hatlite.errors import ProgramError
from hatlite.models import GridDecoder
from hatlite.program import IntProgram
from hatlite.structures import Detections

__all__ = ["ChipDetector", "ChipSession"]

INPUT_BITS = 5


class Stopwatch:
    """Adds up the seconds of blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a block."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start

    def rate(self, count: int) -> float:
        """Return how many there were per second if there were `count`; 0 where no time was counted."""
        return count / self.seconds if self.seconds else 0.0


class ChipDetector:
    """Finds objects in pictures of any size, as validation does with the same model: resize, quantise, run, decode.

    Args:
        path: An ``out.model`` or a ``.hbir`` of GNetDet.
        settings: What was said about the model; checked against it.

    Attributes:
        program: The integers.
        engine: Of the executor.
        classes: Names; none where neither model nor settings know any.
        chip: Time that the executor took.
        detected: Number of pictures that it took it for.

    Raises:
        ProgramError: The file is missing or damaged.
        BuildError: It is no GNetDet.
        ConfigError: `settings` contradict it.
    """

    def __init__(self, path: Path, settings: ChipSettings) -> None:
        if not path.is_file():
            raise ProgramError(
                f"There is no model {path}; tools/convert_to_chip.py writes out.model into the folder model of a run,"
                " name that file with -m."
            )
        if not is_program(path):
            raise ProgramError(
                f"{path} is no chip model by its name; expected out.model, which tools/convert_to_chip.py makes of a"
                " checkpoint, or a .hbir file."
            )
        network = HbirModule(path)
        self.program, self.engine = network.executor.program, network.executor.engine
        known = {**THRESHOLDS, **self.program.metadata.get("thresholds", {})}
        self.model = GNetDetIrInfer(network, GridDecoder(**{**known, **settings.thresholds()})).eval()
        settings.check(self.program, path)
        self.classes = settings.classes(self.program)
        self.transforms = _transforms(self.program, settings.image_format(self.program))
        self.chip, self.detected = Stopwatch(), 0
        self(np.zeros((8, 8, 3), np.uint8))  # an engine prepares some things in its first run
        self.chip, self.detected = Stopwatch(), 0

    def __call__(self, img: np.ndarray) -> Detections:
        """Return what is in `img`, (H, W, 3) uint8 RGB, in its pixels."""
        batch = self.batch(img)
        with self.chip.running():
            outputs = self.model.network(batch["img"])
        self.detected += 1
        return self.model.detect(outputs, batch)[0]

    def batch(self, img: np.ndarray) -> dict[str, Any]:
        """Return `img`, (H, W, 3) uint8 RGB, as the batch of one that enters: 0…31, of the model's size."""
        return Collate2D()([transformed(as_sample(img, 0), self.transforms)])


def _transforms(program: IntProgram, image_format: str) -> list[Any]:
    """Return what makes an input of `program` of a picture, as validation makes it."""
    size, fill = program.values[program.inputs[0].value].shape[:2], program.metadata.get("letterbox")
    return [
        Resize(size, keep_ratio=fill is not None),
        *([] if fill is None else [Pad(size=size, value=fill)]),
        ToTensor(image_format=image_format),
        QuantizePixels(program.metadata.get("input_bits", INPUT_BITS)),
    ]


class ChipSession:
    """Detects in one source after the other, draws where somebody wants to see, and takes the time.

    Args:
        detector: Finds the objects.
        viz: Draws them.
        window: Where drawings are shown; None for nowhere.

    Attributes:
        work: Time of everything, from reading to writing, without the window.
        going: False once somebody ended the session in the window.
    """

    def __init__(self, detector: ChipDetector, viz: DetViz, window: Window | None = None) -> None:
        self.detector, self.viz, self.window = detector, viz, window
        self.work, self.going = Stopwatch(), True

    def pictures(self, files: Sequence[Path], outputs: Sequence[Path | None]) -> Iterator[tuple[Path, Detections]]:
        """Detect in each of `files` and write the drawing to its output; yield the file and what is in it.

        What is no picture at all is found before anything is written.

        Raises:
            DataError: A file is no picture.
            OutputError: A drawing cannot be written.
        """
        for file in files:
            if header_size(file) is None:
                read_image(file)
        bar = tqdm(list(zip(files, outputs, strict=True)), desc="detect", unit="image", leave=False, disable=None)
        for file, output in bar:
            with self.work.running():
                found, drawn = self._detected(read_image(file), output is not None)
                if output is not None:
                    save_picture(drawn, output)
            self._show(drawn, wait=True)
            yield file, found
            if not self.going:
                return

    def video(self, source: Path | int, output: Path | None, most: int | None = None) -> tuple[int, int]:
        """Detect in every picture of a video or camera; return the number of pictures and of objects.

        Ctrl-C ends a camera as it ends: what was recorded is kept.

        Args:
            source: A file, or the number of a camera.
            output: Video of the drawings, with the rate of the source; None for none.
            most: Largest number of pictures; None for all.

        Raises:
            DataError: The source cannot be read.
            OutputError: The video cannot be written.
        """
        pictures = objects = 0
        with VideoReader(source) as reader, ExitStack() as stack:
            write = stack.enter_context(video_file(output, reader.rate)) if output else None
            frames = self._timed(iter(reader))
            bar = tqdm(frames, desc=reader.name, total=reader.count or None, unit="image", leave=False, disable=None)
            try:
                for img in bar:
                    with self.work.running():
                        found, drawn = self._detected(img, write is not None)
                        if write is not None:
                            write(drawn)
                    pictures, objects = pictures + 1, objects + len(found)
                    self._show(drawn)
                    if not self.going or pictures == most:
                        break
            except KeyboardInterrupt:
                if not isinstance(source, int) or not pictures:
                    raise
        return pictures, objects

    def rates(self) -> str:
        """Return how fast it went, in words."""
        count = self.detector.detected
        chip, overall = self.detector.chip.rate(count), self.work.rate(count)
        return f"chip {chip:.1f} images/s ({self.detector.engine}), overall {overall:.1f} images/s"

    def _detected(self, img: np.ndarray, drawn: bool) -> tuple[Detections, np.ndarray]:
        """Return what is in `img`, and `img` with it, drawn where it is to be seen."""
        found = self.detector(img)
        return found, self.viz(img, found, self.detector.classes) if drawn or self.window else img

    def _show(self, drawn: np.ndarray, *, wait: bool = False) -> None:
        if self.window is not None:
            self.going = self.window.show(drawn, self.rates(), wait=wait)

    def _timed(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield `frames`; their reading is work too."""
        while True:
            with self.work.running():
                img = next(frames, None)
            if img is None:
                return
            yield img
