"""Outputs by name become one row of points."""

import torch

from hatlite.models.predictions import flatten_anchor_outputs, flatten_outputs, split_grid


def outputs_of(sizes, classes=2, dtype=torch.float32):
    outputs = {}
    for stride, (height, width) in sizes.items():
        for kind, channels in (("cls_logits", classes), ("bbox_regression", 4), ("centerness", 1)):
            values = torch.arange(2 * channels * height * width, dtype=dtype) + 1000 * stride
            outputs[f"{kind}_s{stride}"] = values.reshape(2, channels, height, width)
    return outputs


def test_points_and_values_stand_side_by_side():
    outputs = outputs_of({8: (2, 3), 16: (1, 1)})
    flat = flatten_outputs(outputs, (8, 16))
    assert flat.cls_logits.shape == (2, 7, 2)
    assert flat.level_sizes == (6, 1)
    # The cell of row 1, column 2 has its centre at x = 20, y = 12.
    assert flat.points[5].tolist() == [20, 12]
    assert torch.equal(flat.cls_logits[1, 5], outputs["cls_logits_s8"][1, :, 1, 2])
    assert torch.equal(flat.bbox_regression[0, 6], outputs["bbox_regression_s16"][0, :, 0, 0])
    assert flat.centerness[0, 5] == outputs["centerness_s8"][0, 0, 1, 2]
    assert flat.strides.tolist() == [8] * 6 + [16]


def test_half_precision_is_widened_and_gradient_can_be_cut():
    outputs = {name: x.requires_grad_() for name, x in outputs_of({8: (1, 1)}, dtype=torch.float16).items()}
    flat = flatten_outputs(outputs, (8,))
    assert flat.cls_logits.dtype == torch.float32
    assert flat.cls_logits.requires_grad
    assert not flat.detach().cls_logits.requires_grad


def test_anchors_of_a_cell_follow_one_another():
    sizes = {8: (2, 3), 16: (1, 1)}
    outputs = {}
    for stride, (height, width) in sizes.items():
        for kind, channels in (("cls_logits", 2 * 3), ("bbox_regression", 2 * 4)):
            outputs[f"{kind}_s{stride}"] = torch.randn(2, channels, height, width)
    flat = flatten_anchor_outputs(outputs, (8, 16), 3)
    assert (flat.sizes, flat.level_sizes) == (((2, 3), (1, 1)), (12, 2))
    assert flat.cls_logits.shape == (2, 14, 3)
    # The second anchor of row 1, column 2 is the last one of its level.
    assert torch.equal(flat.cls_logits[1, 11], outputs["cls_logits_s8"][1, 3:, 1, 2])
    assert torch.equal(flat.deltas[0, 12], outputs["bbox_regression_s16"][0, :4, 0, 0])


def test_the_channels_of_a_cell_are_two_slots_and_the_classes():
    output = torch.arange(12.0)[None, :, None, None] + 100 * torch.arange(6).reshape(1, 1, 2, 3)
    said = split_grid(output)
    assert said.offsets[0, 1, 2].tolist() == [[500, 501], [505, 506]]
    assert said.sizes[0, 1, 2].tolist() == [[502, 503], [507, 508]]
    assert said.confidence[0, 1, 2].tolist() == [504, 509]
    assert said.classes[0, 1, 2].tolist() == [510, 511]
