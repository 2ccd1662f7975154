"""Average precision as COCO measures it, computed by pycocotools."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from hatlite.errors import BuildError
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.metrics.detection_metric import Annotated, DetectionMetric, indexed
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["COCODetectionMetric"]

logger = get_logger(__name__)

STATS = ("mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100")
"""Names of `COCOeval.stats`, as far as they are reported, in its order."""
ALWAYS = ("mAP", "AP50", "AP75", "AR100")
NOT_REPORTED = ("AR1", "AR10")


class _Evaluation(COCOeval):
    """COCOeval that also leaves `ignore` (VOC's difficult objects) uncounted; the original keeps `iscrowd` only."""

    def _prepare(self) -> None:
        ignored = {a["id"] for a in self.cocoGt.anns.values() if a.get("ignore")}
        super()._prepare()
        for annotations in self._gts.values():
            for annotation in annotations:
                annotation["ignore"] = annotation["ignore"] or annotation["id"] in ignored


@OBJECT_REGISTRY.register
class COCODetectionMetric(DetectionMetric):
    """COCO detection metrics over the images that were evaluated.

    Label k stands for the category with the k-th smallest id. Ignored objects (crowds, difficult ones) neither count as
    missed nor make a detection wrong. An image that was never evaluated does not count, and :meth:`compute` says so.

    Args:
        ann_file: COCO annotations.
        dataset: Or: a data set with ``annotations()``. With neither, :meth:`bind` must be called before :meth:`update`.
        val_interval: Must be 1: how often is measured is said by ``Validation``.
        save_prefix: With ``cleanup=False``, :meth:`compute` leaves the detections in COCO's form of results at
            ``<save_prefix>.bbox.json``; None leaves no file.
        cleanup: Leave no file.

    Raises:
        DataNotFoundError: There is no file `ann_file`.
        DataError: `ann_file` is not in COCO's form, or both are given.
        BuildError: Another `val_interval`, or ``cleanup=False`` without a `save_prefix`.
    """

    def __init__(
        self,
        ann_file: str | Path | None = None,
        dataset: Annotated | None = None,
        *,
        val_interval: int = 1,
        save_prefix: str | Path | None = None,
        cleanup: bool = True,
    ) -> None:
        if val_interval != 1:
            raise BuildError(
                f"COCODetectionMetric: val_interval is {val_interval}; set val_interval={val_interval} of Validation"
                " instead, which then spares the evaluation too."
            )
        if not cleanup and save_prefix is None:
            raise BuildError("COCODetectionMetric: cleanup is False, and no save_prefix says where to leave the file.")
        self.results_file = None if cleanup else Path(f"{save_prefix}.bbox.json")
        super().__init__(ann_file, dataset)

    def entries(self, img_id: int, found: Detections) -> list[dict[str, Any]]:
        """Return the detections of one image in COCO's form of results."""
        ids = sorted(self.truth.getCatIds())
        rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        return [
            {
                "image_id": img_id,
                "category_id": ids[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "score": score,
                "iscrowd": 0,
            }
            for (x1, y1, x2, y2), score, label in rows
        ]

    def compute(self) -> dict[str, float]:
        """Return the metrics of the images seen since :meth:`reset`, all in 0…1.

        Returns:
            `mAP` (IoU 0.50…0.95), `AP50`, `AP75`, `AR100`, always; `AP_small`, `AP_medium`, `AP_large` (area below 32²,
            to 96², above) and `AP/<class>` only where the images hold such objects. Where they hold none at all, the
            first four are 0.

        Raises:
            DataError: No image was evaluated.
        """
        self.check_covered()
        if self.results_file is not None:
            self._save_results(self.results_file)
        evaluation = self._evaluate()
        values = {name: float(v) for name, v in zip(STATS, evaluation.stats, strict=False) if name not in NOT_REPORTED}
        if values["mAP"] < 0:
            logger.warning("The %d evaluated images hold no object to find; the metric is 0.", len(self._results))
        values = {name: max(v, 0.0) if name in ALWAYS else v for name, v in values.items()}
        return {name: v for name, v in (values | self._per_class(evaluation)).items() if v >= 0}

    def _save_results(self, path: Path) -> None:
        entries = [entry for img_id in sorted(self._results) for entry in self._results[img_id]]
        keys = ("image_id", "category_id", "bbox", "score")
        with whole_file(path) as unfinished:
            unfinished.write_text(json.dumps([{key: entry[key] for key in keys} for entry in entries]))

    def _evaluate(self) -> COCOeval:
        results = [entry for entries in self._results.values() for entry in entries]
        content = {"images": self.truth.dataset["images"], "categories": self.truth.dataset["categories"]}
        found = indexed(content | {"annotations": [{"id": i, **entry} for i, entry in enumerate(results, 1)]})
        evaluation = _Evaluation(self.truth, found, "bbox")
        evaluation.params.imgIds = sorted(self._results)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation

    def _per_class(self, evaluation: COCOeval) -> dict[str, float]:
        """Return the mean precision of each class over IoU and recall; −1 where the class does not occur."""
        precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class] of all sizes, 100 detections
        names = [self.truth.cats[i]["name"] for i in evaluation.params.catIds]
        return {f"AP/{name}": float(np.mean(precision[:, :, k])) for k, name in enumerate(names)}
