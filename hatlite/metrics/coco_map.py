"""Average precision as COCO measures it, computed by pycocotools."""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hatlite.errors import BuildError, DataError, DataNotFoundError
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["COCODetectionMetric"]

logger = get_logger(__name__)

STATS = ("mAP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100")
"""Names of `COCOeval.stats`, as far as they are reported, in its order."""
ALWAYS = ("mAP", "AP50", "AP75", "AR100")
NOT_REPORTED = ("AR1", "AR10")
NAMES_SHOWN = 10


class _Annotated(Protocol):
    """A data set that knows its ground truth."""

    def annotations(self) -> dict[str, list[dict[str, Any]]]: ...


class _Evaluation(COCOeval):
    """COCOeval that also leaves `ignore` (VOC's difficult objects) uncounted; the original keeps `iscrowd` only."""

    def _prepare(self) -> None:
        ignored = {a["id"] for a in self.cocoGt.anns.values() if a.get("ignore")}
        super()._prepare()
        for annotations in self._gts.values():
            for annotation in annotations:
                annotation["ignore"] = annotation["ignore"] or annotation["id"] in ignored


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more}"


def _indexed(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _read(ann_file: str | Path) -> COCO:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(ann_file))
        if missing := {"images", "annotations", "categories"} - set(truth.dataset):
            raise KeyError(", ".join(sorted(missing)))
        return truth
    except OSError as cause:
        raise DataNotFoundError(
            f"COCODetectionMetric: ann_file {ann_file} cannot be read: {cause.strerror}."
        ) from cause
    except (ValueError, AssertionError, KeyError, TypeError) as cause:
        raise DataError(f"COCODetectionMetric: ann_file {ann_file} holds no COCO annotations ({cause}).") from cause


@OBJECT_REGISTRY.register
class COCODetectionMetric:
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
        dataset: _Annotated | None = None,
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
        if ann_file is not None and dataset is not None:
            raise DataError("COCODetectionMetric takes its ground truth from ann_file or from dataset, not from both.")
        self._truth: COCO | None = None
        self._dataset: _Annotated | None = dataset
        if ann_file is not None:
            self._truth = _read(ann_file)
        self.reset()

    def reset(self) -> None:
        """Forget all detections."""
        self._results: dict[int, list[dict[str, Any]]] = {}

    def bind(self, dataset: _Annotated) -> None:
        """Take the ground truth from `dataset`, unless the constructor was given one, which must fit it then.

        Raises:
            DataError: The categories of `ann_file` are not the classes of `dataset`, in this order.
        """
        if self._truth is None and self._dataset is None:
            self._dataset = dataset
        classes = list(getattr(dataset, "classes", ()))
        if self._truth is None or not classes:
            return
        names = [self._truth.cats[i]["name"] for i in sorted(self._truth.getCatIds())]
        if names != classes:
            raise DataError(
                f"COCODetectionMetric: ann_file has the categories {_shown(names)}; {type(dataset).__name__} has the"
                f" classes {_shown(classes)}. A label would mean two things; name the annotations of this data set."
            )

    @property
    def truth(self) -> COCO:
        """The ground truth.

        Raises:
            DataError: There is none.
        """
        if self._truth is None:
            if self._dataset is None:
                raise DataError("COCODetectionMetric has no ground truth; give it ann_file or dataset, or call bind().")
            self._truth = _indexed(self._dataset.annotations())
        return self._truth

    def update(self, batch: Mapping[str, Any], detections: Sequence[Detections]) -> None:
        """Add the detections of a batch.

        Args:
            batch: `img_id` names the images.
            detections: One per image, in pixels of the original image.

        Raises:
            DataError: The numbers of images differ, an image is unknown or was evaluated before, a label has no
                category, or a value is not finite.
        """
        ids = [int(i) for i in batch["img_id"]]
        if len(ids) != len(detections):
            raise DataError(f"COCODetectionMetric: {len(detections)} detections came for {len(ids)} images.")
        for img_id, found in zip(ids, detections, strict=True):
            self._check(img_id, found)
            self._results[img_id] = self._entries(img_id, found)

    def _check(self, img_id: int, found: Detections) -> None:
        categories = len(self.truth.getCatIds())
        if img_id in self._results:
            raise DataError(
                f"Image {img_id} was evaluated twice; call reset() between runs and let no sampler repeat it."
            )
        if img_id not in self.truth.imgs:
            raise DataError(f"Image {img_id} is not in the ground truth; the annotations belong to another data set.")
        if len(found) and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < categories:
            raise DataError(
                f"Image {img_id} has labels {int(found.labels.min())}…{int(found.labels.max())}, but the ground truth "
                f"has {categories} categories; num_classes does not fit the data set."
            )
        if not (found.boxes.isfinite().all() and found.scores.isfinite().all()):
            raise DataError(f"Image {img_id} has detections that are not finite; the network's outputs are broken.")

    def _entries(self, img_id: int, found: Detections) -> list[dict[str, Any]]:
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
        if not self._results:
            raise DataError("COCODetectionMetric: no image was evaluated; call update() before compute().")
        if len(self._results) < len(self.truth.imgs):
            logger.warning("The metric covers %d of %d images.", len(self._results), len(self.truth.imgs))
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
        found = _indexed(content | {"annotations": [{"id": i, **entry} for i, entry in enumerate(results, 1)]})
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
