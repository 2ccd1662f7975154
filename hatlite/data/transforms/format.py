"""From the (H, W, 3) uint8 picture to the tensor that the network reads."""

from collections.abc import Sequence

import numpy as np
import torch

from hatlite.data.pixel_format import FORMATS, split
from hatlite.data.transforms.sample import Sample, picture, require_keys, tensor
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["DeleteKeys", "Normalize", "QuantizePixels", "RenameKeys", "ToTensor"]


@OBJECT_REGISTRY.register
class ToTensor:
    """(H, W, 3) uint8 RGB to a (3, H, W) float32 tensor of whole numbers 0…255, R, G, B unless asked for others.

    Args:
        to_yuv: Convert to Y, U, V by :func:`hatlite.data.image.rgb_to_yuv` (BT.601 full range, chroma offset 128).
        use_yuv_v2: Must be False. There is one conversion in hatlite, and it is exact.
        to_bgr: Give the planes in the order B, G, R, as weights want it that were trained on pictures of OpenCV. Means
            and deviations of Normalize follow this order. Pictures before and behind the network stay RGB.
        image_format: The planes by the word of GNetDet: "BGR", "RGB" or "YUV", which is Y, V, U there (OpenCV's
            YCrCb). None leaves the choice to the others.

    Raises:
        BuildError: `use_yuv_v2` is set, `image_format` is none of these, or more than one asks for an order.
    """

    def __init__(
        self,
        to_yuv: bool = False,
        use_yuv_v2: bool = False,
        *,
        to_bgr: bool = False,
        image_format: str | None = None,
    ) -> None:
        if use_yuv_v2:
            raise BuildError(
                "ToTensor: use_yuv_v2 is True; only False exists, which is BT.601 full range rounded half up."
            )
        if image_format is not None and image_format not in FORMATS:
            raise BuildError(f"ToTensor: image_format is {image_format!r}; expected one of {', '.join(FORMATS)}.")
        asked = {"to_yuv": to_yuv, "to_bgr": to_bgr, "image_format": image_format}
        if len(given := [key for key, value in asked.items() if value]) > 1:
            told = " and ".join(f"{key} is {asked[key]!r}" for key in given)
            raise BuildError(f"ToTensor: {told}; a tensor holds one order of channels, so leave all but one out.")
        self.order = FORMATS[image_format] if image_format else "YUV" if to_yuv else "BGR" if to_bgr else "RGB"
        """One of :data:`hatlite.data.pixel_format.ORDERS`."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        planes = np.empty((3, *img.shape[:2]), np.float32)
        for plane, channel in zip(planes, split(img, self.order), strict=True):
            plane[:] = channel
        return {**sample, "img": torch.from_numpy(planes)}


@OBJECT_REGISTRY.register
class Normalize:
    """(x − mean) / std on the tensor that :class:`ToTensor` made.

    ``mean=128, std=128`` is exact in float32: the result times 128 is the integer pixel − 128.

    Args:
        mean: One number, or one per channel.
        std: One number above 0, or one per channel.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = _per_channel(mean, "mean")
        self.std = _per_channel(std, "std")
        if not (self.std > 0).all():
            raise BuildError(f"Normalize: std is {std!r}; expected numbers above 0.")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {**sample, "img": tensor(sample, self).sub(self.mean).div_(self.std)}


@OBJECT_REGISTRY.register
class QuantizePixels:
    """Pixels 0…255 of the tensor that :class:`ToTensor` made to levels 0…2^bits − 1, min(2^bits − 1, ⌊x/step + 1/2⌋).

    The step is 2^(8 − bits), 8 for the 5 bits of GTI's accelerators: levels 0…31, and 248…255 are all 31. They stay
    float32 and need no Normalize. :func:`hatlite.data.pixel_format.quantize_pixels` is the same on arrays of uint8.

    Args:
        bits: 1…7.
    """

    def __init__(self, bits: int = 5) -> None:
        if not 1 <= bits <= 7:
            raise BuildError(f"QuantizePixels: bits is {bits!r}; expected a whole number in 1…7.")
        self.bits = bits
        self.step, self.last = 2.0 ** (8 - bits), 2.0**bits - 1

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        levels = tensor(sample, self).add(self.step / 2).mul_(1 / self.step).floor_()  # powers of two: all exact
        return {**sample, "img": levels.clamp_(max=self.last)}


@OBJECT_REGISTRY.register
class DeleteKeys:
    """Leave keys of the sample out, such as those that a transform of one's own has added.

    Args:
        keys: Each must be there.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        require_keys(sample, self.keys, self)
        return {key: value for key, value in sample.items() if key not in self.keys}


@OBJECT_REGISTRY.register
class RenameKeys:
    """Give keys of the sample other names.

    Args:
        keys: Texts such as ``"boxes | gt_bboxes"``: the old name, the bar, the new one. The old name must be there.
        split: What stands for the bar.
    """

    def __init__(self, keys: Sequence[str], split: str = "|") -> None:
        pairs = [tuple(name.strip() for name in text.split(split)) for text in keys]
        if wrong := [text for text, pair in zip(keys, pairs, strict=True) if len(pair) != 2 or not all(pair)]:
            raise BuildError(f"RenameKeys: keys has {wrong[0]!r}; expected 'old {split} new'.")
        self.names = dict(pairs)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        require_keys(sample, list(self.names), self)
        return {self.names.get(key, key): value for key, value in sample.items()}


def _per_channel(value: float | Sequence[float], key: str) -> torch.Tensor:
    """Return (1, 1, 1) or (3, 1, 1) float32."""
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(numbers) not in (1, 3) or not all(isinstance(number, (int, float)) for number in numbers):
        raise BuildError(f"Normalize: {key} is {value!r}; expected one number or three.")
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1)
