"""Detection data sets: COCO (packed or in folders), Pascal VOC, GNetDet's metadata, wrappers, and drawn shapes."""

from hatlite.data.datasets.base import DetectionDataset
from hatlite.data.datasets.coco import Coco, CocoFromImage
from hatlite.data.datasets.meta import GNetMeta
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.datasets.wrappers import BatchTransformDataset, ConcatDataset, RepeatDataset, ResampleDataset

__all__ = [
    "BatchTransformDataset",
    "Coco",
    "CocoFromImage",
    "ConcatDataset",
    "DetectionDataset",
    "GNetMeta",
    "RepeatDataset",
    "ResampleDataset",
    "VOCFromImage",
]
