"""Transforms: callables ``transform(sample, rng) -> sample`` that a data set applies in the order of its list.

`rng` is made from (seed, epoch, index), and a transform draws from nothing else, so a sample looks the same whatever
the number of workers. A transform returns a new dict and leaves the arrays that it was given as they are; one sample
may therefore serve several pictures, as a transform that joins images (:mod:`.join`) wants.
"""

from hatlite.data.transforms.board import SubsampleChroma, ToYUV
from hatlite.data.transforms.color import AugmentHSV, BoxBlur, RandomHSVFactors
from hatlite.data.transforms.crop import FixedCrop, RandomCrop
from hatlite.data.transforms.format import DeleteKeys, Normalize, QuantizePixels, RenameKeys, ToTensor
from hatlite.data.transforms.geometry import Pad, RandomFlip, RandomScale, Resize
from hatlite.data.transforms.jitter import ColorJitter, PhotoMetricDistortion
from hatlite.data.transforms.join import JoinTransform, MixUp, Mosaic
from hatlite.data.transforms.sample import Sample, Transform
from hatlite.data.transforms.shift import RandomCropByCentre, RandomShift
from hatlite.data.transforms.zoom import MinIoURandomCrop, RandomExpand

__all__ = [
    "AugmentHSV",
    "BoxBlur",
    "ColorJitter",
    "DeleteKeys",
    "FixedCrop",
    "JoinTransform",
    "MinIoURandomCrop",
    "MixUp",
    "Mosaic",
    "Normalize",
    "Pad",
    "PhotoMetricDistortion",
    "QuantizePixels",
    "RandomCrop",
    "RandomCropByCentre",
    "RandomExpand",
    "RandomFlip",
    "RandomHSVFactors",
    "RandomScale",
    "RandomShift",
    "RenameKeys",
    "Resize",
    "Sample",
    "SubsampleChroma",
    "ToTensor",
    "ToYUV",
    "Transform",
]
