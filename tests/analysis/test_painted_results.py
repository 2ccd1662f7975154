import numpy as np
import pytest
import torch

from hatlite.analysis import PaintedResults
from hatlite.analysis.pictures import class_color
from hatlite.data.datasets.coco import CocoFromImage
from hatlite.data.image import read_image
from hatlite.errors import ConfigError
from hatlite.structures import Detections


@pytest.fixture
def dataset(write_coco):
    root = write_coco()
    return CocoFromImage(img_path=root / "val2017", ann_file=root / "annotations" / "instances_val2017.json")


def colored(half, label):
    return (abs(half.astype(int) - class_color(label)).sum(axis=2) < 60).sum() > 500


def test_objects_stand_left_and_detections_right(dataset, tmp_path):
    painted = PaintedResults(tmp_path / "out", "qat", 0.5)
    painted.bind(dataset)
    painted.reset()
    both = Detections(torch.tensor([[4.0, 4, 20, 20]] * 2), torch.tensor([0.9, 0.4]), torch.tensor([0, 6]))
    index = next(i for i in range(len(dataset)) if dataset.record(i).img_id == 4)
    painted.update({"img_id": [4]}, [both])
    assert (painted.painted, painted.compute()) == (1, {})
    picture = read_image(tmp_path / "out" / f"{index:05d}_a.jpg")
    left, right = np.split(picture[:, : picture.shape[1] // 2 * 2], 2, axis=1)
    assert [colored(left, 1), colored(left, 0)] == [True, False]  # a dog is annotated
    assert [colored(right, 0), colored(right, 6)] == [True, False]  # a cat is found; the other scores too little


def test_a_data_set_must_give_single_pictures():
    with pytest.raises(ConfigError, match=r"object has no load\(index\) and record\(index\), from which results are"):
        PaintedResults("out", "float").bind(object())
