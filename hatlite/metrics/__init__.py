"""Metrics: `update`, `compute`, `reset`."""

from hatlite.metrics.coco_map import COCODetectionMetric
from hatlite.metrics.confusion_matrix import ConfusionMatrix
from hatlite.metrics.group import Metric, MetricGroup
from hatlite.metrics.loss_show import LossShow
from hatlite.metrics.voc_map import VOC07MApMetric, VOCMApMetric

__all__ = [
    "COCODetectionMetric",
    "ConfusionMatrix",
    "LossShow",
    "Metric",
    "MetricGroup",
    "VOC07MApMetric",
    "VOCMApMetric",
]
