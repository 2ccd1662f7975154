"""Transforms that make one picture of several.

They stand in the list of a data set's transforms like all others. The data set draws the other pictures from itself,
each treated by the transforms that stand before; all chances come from the one generator of (seed, epoch, index).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from hatlite.data.transforms.crop import clip_boxes, lay
from hatlite.data.transforms.geometry import GREY, Resize
from hatlite.data.transforms.sample import Sample, height_width, move, picture, probability
from hatlite.errors import BuildError, ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["JoinTransform", "MixUp", "Mosaic"]

LARGEST_CENTER = 2.0  # the canvas is twice the tile
PARTS = 256  # a mixture is counted in these: integers, so that every machine rounds alike


class JoinTransform(ABC):
    """What a data set asks of a transform that wants further pictures.

    Args:
        others: Pictures that it wants beside its own.
        prob: Probability in 0…1 of joining; otherwise the sample stays as it is.
        stop_epoch: First epoch, counted from 0, that joins nothing any more; None is never.
    """

    def __init__(self, others: int, prob: float, stop_epoch: int | None) -> None:
        name = type(self).__name__
        if stop_epoch is not None and stop_epoch < 0:
            raise BuildError(f"{name}: stop_epoch is {stop_epoch}; expected an epoch, 0 or above, or None.")
        self.others = others
        self.prob = probability(prob, f"{name}: prob")
        self.stop_epoch = stop_epoch

    def wanted(self, epoch: int, rng: np.random.Generator) -> int:
        """Return how many further pictures this sample gets in `epoch`; 0 leaves it as it is."""
        if self.stop_epoch is not None and epoch >= self.stop_epoch:
            return 0
        return self.others if rng.random() < self.prob else 0

    @abstractmethod
    def join(self, samples: Sequence[Sample], rng: np.random.Generator) -> Sample:
        """Return one sample with all boxes; `samples` are its own, then the others.

        What is told about one picture alone (`img_id`, `img_name`, `orig_size`, `matrix`) is that of the first.
        """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Refuse a data set that hands over one picture alone."""
        name = type(self).__name__
        raise ConfigError(
            f"{name} joins several pictures and was given one, {sample.get('img_name')}; put {name} into the transforms"
            " of a data set that derives from hatlite.data.datasets.base.DetectionDataset and keeps its get()."
        )


def _joined(samples: Sequence[Sample], img: np.ndarray, first: Sample) -> Sample:
    boxes, classes = (np.concatenate([sample[key] for sample in samples]) for key in ("gt_bboxes", "gt_classes"))
    return {**first, "img": img, "gt_bboxes": boxes, "gt_classes": classes}


@OBJECT_REGISTRY.register(alias="DetMosaic")
class Mosaic(JoinTransform):
    """Four pictures around one point: its own at the top left, then top right, bottom left, bottom right.

    Each is resized as :class:`~hatlite.data.transforms.geometry.Resize` does, to the largest size of its own shape
    inside `img_scale`, and laid with one corner on the point. The canvas has twice the sides of `img_scale`; what hangs
    over is cut off, and boxes are clipped by the rule of :class:`~hatlite.data.transforms.crop.RandomCrop`. Bochkovskiy
    et al. 2020, arXiv:2004.10934.

    Args:
        img_scale: (height, width) in pixels of the room for one picture.
        center_ratio_range: (low, high) within 0…2; the point is `img_scale` times two numbers drawn from it.
        pad_val: Fill of what no picture covers, 0…255.
        prob: Probability in 0…1.
        stop_epoch: First epoch without it; None is never.
        min_area, min_iou: Which clipped boxes stay, as for RandomCrop.
    """

    def __init__(
        self,
        img_scale: Sequence[int],
        center_ratio_range: Sequence[float] = (0.5, 1.5),
        pad_val: int = GREY,
        *,
        prob: float = 1.0,
        stop_epoch: int | None = None,
        min_area: float = 4.0,
        min_iou: float = 0.1,
    ) -> None:
        super().__init__(3, prob, stop_epoch)
        self.img_scale = height_width(img_scale, "Mosaic: img_scale")
        low, high = _pair(center_ratio_range)
        if not 0 <= low <= high <= LARGEST_CENTER:
            raise BuildError(
                f"Mosaic: center_ratio_range is {center_ratio_range!r}; expected (low, high) with 0 ≤ low ≤ high ≤ 2."
            )
        self.center_ratio_range = (low, high)
        self.pad_val = _checked_fill(pad_val, "Mosaic")
        self.min_area, self.min_iou = min_area, probability(min_iou, "Mosaic: min_iou")
        self.resize = Resize(self.img_scale, keep_ratio=True)

    def join(self, samples: Sequence[Sample], rng: np.random.Generator) -> Sample:
        ratios = rng.uniform(*self.center_ratio_range, 2)
        center = [int(np.floor(side * ratio + 0.5)) for side, ratio in zip(self.img_scale, ratios, strict=True)]
        canvas = np.full((2 * self.img_scale[0], 2 * self.img_scale[1], 3), self.pad_val, np.uint8)
        tiles = []
        for number, sample in enumerate(samples):
            height, width = picture(sample, self).shape[:2]
            img = self.resize(sample, rng)["img"]
            top = center[0] - (img.shape[0] if number < 2 else 0)
            left = center[1] - (img.shape[1] if number % 2 == 0 else 0)
            lay(canvas, img, top, left)
            scale_x, scale_y = img.shape[1] / width, img.shape[0] / height
            matrix = np.array([[scale_x, 0, left], [0, scale_y, top], [0, 0, 1]], np.float64)
            tiles.append(clip_boxes(move(sample, canvas, matrix), self.min_area, self.min_iou))
        return _joined(tiles, canvas, tiles[0])


def _pair(value: Any) -> tuple[float, float]:
    pair = tuple(value) if isinstance(value, (list, tuple)) else ()
    return (float(pair[0]), float(pair[1])) if len(pair) == 2 else (1.0, 0.0)


def _checked_fill(value: int, name: str) -> int:
    if not 0 <= value <= 255:
        raise BuildError(f"{name}: pad_val is {value!r}; expected a whole number in 0…255.")
    return value


@OBJECT_REGISTRY.register(alias="DetMixUp")
class MixUp(JoinTransform):
    """Two pictures shining through one another, with the boxes of both (Zhang et al. 2019, arXiv:1902.04103).

    Both are extended at the bottom and at the right to the larger height and width, so that boxes stay where they are.
    A pixel becomes (k · own + (256 − k) · other + 128) >> 8 with k / 256 drawn from Beta(alpha, alpha), 1 ≤ k ≤ 255.

    Args:
        alpha: Above 0; the larger, the closer to halves.
        pad_val: Fill of the extension, 0…255.
        prob: Probability in 0…1.
        stop_epoch: First epoch without it; None is never.
    """

    def __init__(
        self, alpha: float = 1.5, pad_val: int = GREY, *, prob: float = 0.5, stop_epoch: int | None = None
    ) -> None:
        super().__init__(1, prob, stop_epoch)
        if not alpha > 0:
            raise BuildError(f"MixUp: alpha is {alpha!r}; expected a number above 0.")
        self.alpha = alpha
        self.pad_val = _checked_fill(pad_val, "MixUp")

    def join(self, samples: Sequence[Sample], rng: np.random.Generator) -> Sample:
        parts = min(max(round(PARTS * rng.beta(self.alpha, self.alpha)), 1), PARTS - 1)
        pictures = [picture(sample, self) for sample in samples]
        height, width = np.max([img.shape[:2] for img in pictures], axis=0)
        own, other = (self._extended(img, height, width).astype(np.uint16) for img in pictures)
        mixed = (parts * own + (PARTS - parts) * other + PARTS // 2) >> 8  # at most 255 · 256 + 128 < 2^16
        return _joined(samples, mixed.astype(np.uint8), samples[0])

    def _extended(self, img: np.ndarray, height: int, width: int) -> np.ndarray:
        border = (0, int(height) - img.shape[0], 0, int(width) - img.shape[1])
        return cv2.copyMakeBorder(img, *border, cv2.BORDER_CONSTANT, value=(self.pad_val,) * 3)
