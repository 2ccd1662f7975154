"""DetectionMetric: what any metric gets from it; its refusals are read in test_coco_map.py too."""

import json
from typing import Any

import pytest
from detections import Truth, annotation, found

from hatlite.errors import DataError
from hatlite.metrics.detection_metric import DetectionMetric

BOX = (0, 0, 10, 10)


class Own(DetectionMetric):
    """Counts."""

    def entries(self, img_id: int, found: Any) -> int:
        return len(found)

    def compute(self) -> dict[str, float]:
        self.check_covered()
        return {"mAP": float(sum(self._results.values()))}


def test_entries_are_kept_by_image_until_reset(caplog):
    metric = Own(dataset=Truth(annotation(1, BOX), images=2))
    metric.update({"img_id": [1]}, [found((BOX, 0.5, 0), (BOX, 0.4, 1))])
    assert metric.compute() == {"mAP": 2.0}
    assert caplog.messages == ["The metric covers 1 of 2 images."]
    metric.reset()
    with pytest.raises(DataError, match="Own: no image was evaluated; call update"):
        metric.compute()


def test_messages_have_the_name_of_the_metric(tmp_path):
    with pytest.raises(DataError, match="Own has no ground truth; give it ann_file or dataset, or call bind"):
        Own().update({"img_id": [1]}, [found()])
    with pytest.raises(DataError, match="Own takes its ground truth from ann_file or from dataset, not from both"):
        Own("a.json", Truth())
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"Own: ann_file .*a\.json holds no COCO annotations"):
        Own(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(json.dumps(Truth(annotation(1, BOX)).content))
    metric = Own(tmp_path / "b.json")
    metric.bind(Truth())
    with pytest.raises(DataError, match="Own: 2 detections came for 1 images"):
        metric.update({"img_id": [1]}, [found(), found()])
