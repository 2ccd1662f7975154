"""DenseDecoder: options, ranking within levels, and the way back to the image."""

from typing import ClassVar

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.postprocess.dense_decoder import DenseDecoder


class Own(DenseDecoder):
    defaults: ClassVar = {"score_thr": 0.3, "nms_pre": None, "iou_threshold": 0.5, "max_per_img": 7}

    def forward(self, outputs, batch):
        raise NotImplementedError


def test_options_and_what_holds_without_them():
    plain = Own()
    assert (plain.score_threshold, plain.nms_pre, plain.iou_threshold, plain.max_per_img) == (0.3, None, 0.5, 7)
    told = Own(test_cfg={"score_thr": 0.1, "nms_pre": 5, "nms": {"iou_threshold": 0.6, "max_per_img": 2}})
    assert (told.score_threshold, told.nms_pre, told.iou_threshold, told.max_per_img) == (0.1, 5, 0.6, 2)
    assert Own(test_cfg={"max_per_img": 4}).max_per_img == 4


def test_the_best_of_every_level():
    ranking = torch.tensor([[0.1, 0.9, 0.5, 0.2, 0.2, 0.3]])
    kept = Own(test_cfg={"nms_pre": 2}).best_of_levels(ranking, (3, 3))
    assert kept.tolist() == [[False, True, True, True, False, True]]  # of equals the earlier
    assert Own().best_of_levels(ranking, (3, 3)).all()


def test_boxes_go_back_to_the_image_or_stay():
    boxes = torch.tensor([[-4.0, 2.0, 12.0, 30.0]])
    double = torch.diag(torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64))
    batch = {"img": torch.zeros(1, 3, 16, 16), "matrix": [double], "orig_size": [(10, 8)]}
    assert Own().place(boxes, batch, 0).tolist() == [[0, 1, 6, 10]]
    assert Own(rescale=False).place(boxes, batch, 0).tolist() == [[0, 2, 12, 16]]


def test_empty_boxes_and_duplicates_fall():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [5, 5, 5, 9], [0, 0, 10, 10]])
    found = Own().suppress(boxes, torch.tensor([0.5, 0.9, 0.8, 0.7]), torch.tensor([0, 0, 0, 1]))
    assert found.boxes.tolist() == [[0, 0, 10, 9], [0, 0, 10, 10]]
    assert found.labels.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


def test_classes_and_strides_come_from_the_head():
    decoder = Own()
    decoder.bind(3, (8, 16))
    assert (decoder.num_classes, decoder.strides) == (3, (8, 16))
    with pytest.raises(BuildError, match="post_process.num_classes is 9, but head.num_classes is 3"):
        Own(9).bind(3, (8,))
    with pytest.raises(BuildError, match=r"post_process.strides is \(8,\), but head.out_strides is \(8, 16\)"):
        Own(3, (8,)).bind(3, (8, 16))
    with pytest.raises(BuildError, match=r"Own: post_process.strides \[8, 8\] must rise .*; write \[8\]"):
        Own(3, (8, 8))


@pytest.mark.parametrize(
    ("cfg", "text"),
    [
        (
            {"score_th": 0.1},
            r"Own: test_cfg got an unexpected key 'score_th'.\n  Did you mean 'score_thr'\?\n  It takes",
        ),
        ({"nms": {"iou": 0.5}}, r"Own: test_cfg\['nms'\] got an unexpected key 'iou'"),
        ({"nms": {"name": "soft_nms"}}, r"test_cfg\['nms'\]\['name'\] is 'soft_nms'; 'nms' is the one there is"),
        ({"score_thr": 1.5}, r"test_cfg\['score_thr'\] is 1.5; expected 0…1"),
        ({"nms_pre": 0}, r"test_cfg\['nms_pre'\] is 0; expected 1 or more"),
        ({"nms": {"max_per_img": 3}, "max_per_img": 4}, r"test_cfg\['max_per_img'\] is 4, but test_cfg\['nms'\]"),
    ],
)
def test_options_that_are_wrong(cfg, text):
    with pytest.raises(BuildError, match=text):
        Own(test_cfg=cfg)
