"""Decoding: a case worked by hand, and each option by what it changes."""

import math

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.postprocess.fcos_decoder import FCOSDecoder

IDENTITY = torch.eye(3, dtype=torch.float64)


def logit(probability):
    return math.log(probability / (1 - probability))


def outputs_of(found, size=4, strides=(8,), classes=2):
    """Return outputs that see nothing but `found`: (stride, row, column, class, probability, centerness, ltrb)."""
    outputs = {}
    for stride in strides:
        side = size * strides[0] // stride
        outputs[f"cls_logits_s{stride}"] = torch.full((1, classes, side, side), -20.0)
        outputs[f"bbox_regression_s{stride}"] = torch.ones(1, 4, side, side)
        outputs[f"centerness_s{stride}"] = torch.zeros(1, 1, side, side)
    for stride, row, column, label, probability, centerness, ltrb in found:
        outputs[f"cls_logits_s{stride}"][0, label, row, column] = logit(probability)
        outputs[f"centerness_s{stride}"][0, 0, row, column] = logit(centerness)
        outputs[f"bbox_regression_s{stride}"][0, :, row, column] = torch.tensor(ltrb)
    return outputs


def batch_of(matrix=IDENTITY, orig_size=(32, 32), size=32):
    return {"img": torch.zeros(1, 3, size, size), "matrix": [matrix], "orig_size": [orig_size]}


def decode(found, strides=(8,), batch=None, **options):
    decoder = FCOSDecoder(2, strides, **options)
    return decoder(outputs_of(found, strides=strides), batch or batch_of())[0]


def test_one_object_by_hand():
    found = decode([(8, 1, 2, 1, 0.9, 0.4, [1.0, 0.5, 1.0, 2.0])])
    # The centre of row 1, column 2 is (20, 12); sides lie 8, 4, 8 and 16 pixels away.
    assert found.boxes.tolist() == [[12, 8, 28, 28]]
    assert found.scores.tolist() == pytest.approx([math.sqrt(0.9 * 0.4)])
    assert found.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "score"),
    [({"nms_sqrt": False}, 0.36), ({"nms_use_centerness": False}, math.sqrt(0.9)),
     ({"nms_use_centerness": False, "nms_sqrt": False}, 0.9)],
)  # fmt: skip
def test_how_the_score_is_made(options, score):
    assert decode([(8, 1, 2, 1, 0.9, 0.4, [1.0] * 4)], **options).scores.tolist() == pytest.approx([score])


def test_threshold_looks_at_the_class_alone_unless_told():
    found = [(8, 0, 0, 0, 0.06, 0.5, [1.0] * 4), (8, 3, 3, 0, 0.04, 0.9, [1.0] * 4)]
    assert len(decode(found)) == 1
    assert len(decode(found, filter_score_mul_centerness=True)) == 0
    assert len(decode(found, filter_score_mul_centerness=True, test_cfg={"score_thr": 0.025})) == 2


def test_levels_use_their_stride():
    found = decode([(16, 1, 0, 0, 0.9, 0.9, [0.25, 0.5, 0.5, 0.25])], strides=(8, 16))
    assert found.boxes.tolist() == [[4, 16, 16, 28]]


def test_duplicates_fall_within_a_class():
    cells = [(8, 1, 1, 0, 0.9, 0.9, [1.0] * 4), (8, 1, 2, 0, 0.8, 0.9, [2.0, 1.0, 0.0, 1.0])]
    other_class = [cells[0], (*cells[1][:3], 1, *cells[1][4:])]
    assert len(decode(cells)) == 1
    assert decode(other_class).labels.tolist() == [0, 1]


def test_boxes_return_to_the_original_and_are_clipped():
    double = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0]], dtype=torch.float64)
    cells = [(8, 1, 2, 1, 0.9, 0.4, [1.0, 0.5, 1.0, 2.0]), (8, 3, 3, 0, 0.9, 0.9, [0.25] * 4)]
    found = decode(cells, batch=batch_of(double, orig_size=(12, 10)))
    # The second box lies in the padding, outside the original: it has no area there.
    assert found.boxes.tolist() == [[6, 4, 10, 12]]
    assert len(decode(cells, batch={"img": torch.zeros(1, 3, 32, 32)}, rescale=False)) == 2


def test_only_the_best_points_of_a_level_stay():
    # Alike in class; the third has the highest class · centerness of stride 8 and the fourth is alone on stride 16.
    cells = [
        (8, 0, 0, 0, 0.9, 0.2, [0.4] * 4),
        (8, 3, 3, 0, 0.9, 0.3, [0.4] * 4),
        (8, 0, 3, 0, 0.9, 0.4, [0.4] * 4),
        (16, 1, 0, 0, 0.9, 0.1, [0.4] * 4),
    ]
    found = decode(cells, strides=(8, 16), test_cfg={"nms_pre": 1})
    assert found.scores.tolist() == pytest.approx([math.sqrt(0.36), math.sqrt(0.09)])


@pytest.mark.parametrize("test_cfg", [{"max_per_img": 2}, {"nms": {"name": "nms", "max_per_img": 2}}])
def test_the_number_of_objects_is_honoured_inside_and_outside(test_cfg):
    cells = [(8, 0, i, 0, 0.5 + 0.1 * i, 0.5, [0.4] * 4) for i in range(4)]
    found = decode(cells, test_cfg=test_cfg)
    assert found.scores.tolist() == pytest.approx([math.sqrt(0.4), math.sqrt(0.35)])


def test_nothing_found():
    found = decode([])
    assert found.boxes.shape == (0, 4)
    assert found.labels.dtype == torch.int64


def test_the_same_again():
    generator = torch.Generator().manual_seed(0)
    outputs = {
        "cls_logits_s8": torch.randn(2, 2, 8, 8, generator=generator).round() - 1,  # many equal scores
        "bbox_regression_s8": torch.rand(2, 4, 8, 8, generator=generator) * 2,
        "centerness_s8": torch.zeros(2, 1, 8, 8),
    }
    batch = {"img": torch.zeros(2, 3, 64, 64), "matrix": [IDENTITY] * 2, "orig_size": [(64, 64)] * 2}
    decoder = FCOSDecoder(2, (8,), test_cfg={"nms_pre": 20})
    for once, again in zip(decoder(outputs, batch), decoder(outputs, batch), strict=True):
        assert len(once) > 0
        assert torch.equal(once.boxes, again.boxes)
        assert torch.equal(once.scores, again.scores)
        assert (once.scores.diff() <= 0).all()


def test_takes_its_numbers_from_the_head():
    decoder = FCOSDecoder()
    decoder.bind(7, [8, 16])
    assert (decoder.num_classes, decoder.strides) == (7, (8, 16))
    with pytest.raises(BuildError, match="post_process.num_classes is 80, but head.num_classes is 7"):
        FCOSDecoder(num_classes=80).bind(7, (8,))
    with pytest.raises(BuildError, match=r"post_process.strides is \(4,\), but head.out_strides is \(8,\)"):
        FCOSDecoder(strides=[4]).bind(7, (8,))


def test_refuses_a_test_cfg_it_does_not_understand():
    with pytest.raises(BuildError, match="test_cfg got an unexpected key 'score_thresh'.\n  Did you mean 'score_thr'"):
        FCOSDecoder(test_cfg={"score_thresh": 0.1})
    with pytest.raises(BuildError, match=r"test_cfg\['nms'\] got an unexpected key 'iou'.*\n"):
        FCOSDecoder(test_cfg={"nms": {"iou": 0.1}})
    with pytest.raises(BuildError, match=r"test_cfg\['nms'\]\['name'\] is 'soft'; 'nms' is the one there is"):
        FCOSDecoder(test_cfg={"nms": {"name": "soft"}})
    with pytest.raises(
        BuildError, match=r"test_cfg\['max_per_img'\] is 5, but test_cfg\['nms'\]\['max_per_img'\] is 4"
    ):
        FCOSDecoder(test_cfg={"max_per_img": 5, "nms": {"max_per_img": 4}})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"score_thr": 5}, r"test_cfg\['score_thr'\] is 5; expected 0…1\."),
        ({"nms": {"iou_threshold": -0.1}}, r"test_cfg\['nms'\]\['iou_threshold'\] is -0\.1; expected 0…1\."),
        ({"nms_pre": 0}, r"test_cfg\['nms_pre'\] is 0; expected 1 or more\."),
        ({"max_per_img": 0}, r"test_cfg\['max_per_img'\] is 0; expected 1 or more\."),
    ],
)
def test_refuses_values_outside_their_range(wrong, message):
    with pytest.raises(BuildError, match=message):
        FCOSDecoder(test_cfg=wrong)
