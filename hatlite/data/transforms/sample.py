"""What the transforms share: reading a sample's picture, and moving picture, boxes and matrix as one.

A geometric transform is an axis-aligned map of edge coordinates: pixel column `i` covers x from i to i + 1. Shrinking
by two halves every coordinate, mirroring a picture of width W turns x into W − x; no half pixel appears anywhere.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from hatlite.errors import BuildError, ConfigError, DataError

__all__ = ["Sample", "Transform", "height_width", "move", "picture", "probability", "require_keys", "tensor"]

Sample = dict[str, Any]
"""One image on its way through the transforms; the keys stand in ``docs/architecture.md``."""

GEOMETRY_KEYS = ("img", "gt_bboxes", "gt_classes", "matrix")


class Transform(Protocol):
    """A callable that takes a sample and returns a new one; it never writes into the arrays that it was given."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


def picture(sample: Sample, transform: object) -> np.ndarray:
    """Return the sample's (H, W, 3) uint8 picture on behalf of `transform`.

    Raises:
        DataError: The sample lacks a key.
        ConfigError: The picture is a tensor already.
    """
    missing = [key for key in GEOMETRY_KEYS if key not in sample]
    who, image = type(transform).__name__, sample.get("img_name", "without img_name")
    if missing:
        raise DataError(
            f"{who}: the sample of image {image} lacks {', '.join(missing)}; "
            f"a data set returns at least {', '.join(GEOMETRY_KEYS)}."
        )
    img = sample["img"]
    if not isinstance(img, np.ndarray) or img.dtype != np.uint8 or img.ndim != 3 or img.shape[2] != 3:
        raise ConfigError(
            f"{who}: image {image} is {_describe(img)}; expected an (H, W, 3) uint8 array. "
            f"Put {who} before ToTensor in transforms."
        )
    return img


def require_keys(sample: Sample, keys: Sequence[str], transform: object) -> None:
    """Refuse a sample that lacks one of `keys`, on behalf of `transform`.

    Raises:
        ConfigError: It does.
    """
    if missing := [key for key in keys if key not in sample]:
        raise ConfigError(
            f"{type(transform).__name__}: the sample of image {sample.get('img_name', 'without img_name')} has no"
            f" {', '.join(missing)}; at this point it has {', '.join(sample)}."
        )


def tensor(sample: Sample, transform: object) -> Any:
    """Return the sample's (3, H, W) float32 tensor on behalf of `transform`.

    Raises:
        ConfigError: The picture is not a tensor yet.
    """
    img, who = sample["img"], type(transform).__name__
    if isinstance(img, np.ndarray):
        raise ConfigError(
            f"{who}: image {sample.get('img_name', 'without img_name')} is {_describe(img)}; "
            f"expected the tensor that ToTensor makes. Put ToTensor before {who} in transforms."
        )
    return img


def _describe(img: Any) -> str:
    return f"{tuple(getattr(img, 'shape', ()))} {getattr(img, 'dtype', type(img).__name__)}"


def move(sample: Sample, img: np.ndarray, matrix: np.ndarray) -> Sample:
    """Return the sample with a new picture, its boxes moved by `matrix`, and `matrix` multiplied on the left.

    Args:
        sample: With `gt_bboxes` (N, 4) and `matrix` (3, 3).
        img: The moved picture, (H, W, 3) uint8.
        matrix: (3, 3) float64, old to new edge coordinates; scales, mirrors and shifts only.
    """
    boxes = move_boxes(sample["gt_bboxes"], matrix)
    return {**sample, "img": img, "gt_bboxes": boxes, "matrix": matrix @ sample["matrix"]}


def move_boxes(boxes_xyxy: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map (N, 4) float32 boxes by an axis-aligned (3, 3) `matrix`; mirrored boxes get their corners in order again."""
    corners = boxes_xyxy.reshape(-1, 2, 2) * matrix[[0, 1], [0, 1]] + matrix[:2, 2]  # (N, corner, xy)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


def height_width(value: Any, key: str) -> tuple[int, int]:
    """Check a (height, width) argument; `key` names it, such as ``RandomCrop: size``.

    Raises:
        BuildError: It is not two whole numbers above 0.
    """
    pair = tuple(value) if isinstance(value, (list, tuple)) else ()
    if len(pair) != 2 or any(not isinstance(side, Integral) or side < 1 for side in pair):
        raise BuildError(
            f"{key} is {value!r}; expected (height, width), two whole numbers above 0, such as (512, 640)."
        )
    return int(pair[0]), int(pair[1])


def probability(value: float, key: str) -> float:
    """Check an argument in 0…1; `key` names it.

    Raises:
        BuildError: It lies outside.
    """
    if not 0 <= value <= 1:
        raise BuildError(f"{key} is {value!r}; expected a number in 0…1.")
    return float(value)
