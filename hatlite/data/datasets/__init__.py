"""Detection data sets: COCO (packed or in folders), Pascal VOC, wrappers, and drawn shapes."""

from hatlite.data.datasets.base import DetectionDataset
from hatlite.data.datasets.coco import Coco, CocoFromImage
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.datasets.wrappers import BatchTransformDataset, ConcatDataset, RepeatDataset, ResampleDataset

__all__ = [
    "BatchTransformDataset",
    "Coco",
    "CocoFromImage",
    "ConcatDataset",
    "DetectionDataset",
    "RepeatDataset",
    "ResampleDataset",
    "VOCFromImage",
]
