"""Samples become a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hatlite.data.transforms.sample import Sample
from hatlite.errors import ConfigError, DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Collate2D"]


@OBJECT_REGISTRY.register
class Collate2D:
    """Stack the pictures of samples and keep everything else as lists.

    A batch of N samples is a dict: `img` (N, 3, H, W) float32; `gt_bboxes`, a list of (n, 4) float32 tensors;
    `gt_classes`, a list of (n,) int64 tensors; every other key a list of length N.
    """

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Make a batch of one or more samples.

        Raises:
            DataError: Pictures differ in size, or a sample lacks a key that another has.
            ConfigError: A picture is not a tensor.
        """
        keys = list(dict.fromkeys(key for sample in samples for key in sample))
        for sample in samples:
            _check_sample(sample, keys, samples[0])
        batch: dict[str, Any] = {key: [sample[key] for sample in samples] for key in keys}
        batch["img"] = torch.stack(batch["img"])
        for key, convert in (("gt_bboxes", _boxes), ("gt_classes", _classes)):
            if key in batch:
                batch[key] = [convert(value) for value in batch[key]]
        return batch


def _name(sample: Sample) -> str:
    return str(sample.get("img_name", sample.get("img_id", "without img_name")))


def _check_sample(sample: Sample, keys: Sequence[str], first: Sample) -> None:
    missing = [key for key in ("img", *keys) if key not in sample]
    if missing:
        raise DataError(
            f"Collate2D: the sample of image {_name(sample)} lacks {', '.join(dict.fromkeys(missing))}; "
            "all samples of a batch need the same keys."
        )
    if not isinstance(sample["img"], torch.Tensor):
        raise ConfigError(
            f"Collate2D: image {_name(sample)} is of type {type(sample['img']).__name__}; expected a tensor. "
            "Put ToTensor at the end of transforms."
        )
    if sample["img"].shape != first["img"].shape:
        raise DataError(
            f"Collate2D: image {_name(first)} is {_size(first)} and image {_name(sample)} is {_size(sample)} (height × "
            "width), but a batch needs one size; put RandomCrop and Pad(size=…) into transforms, or use batch_size=1."
        )


def _size(sample: Sample) -> str:
    return "×".join(str(side) for side in sample["img"].shape[-2:])


def _boxes(value: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(value, np.float32).reshape(-1, 4))


def _classes(value: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(value, np.int64).reshape(-1))
