"""Decoders of anchors: by hand, and beside torchvision's default boxes, box coder and NMS."""

import math

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import batched_nms, clip_boxes_to_image

from hatlite.errors import BuildError
from hatlite.models.anchors import AnchorGenerator, CellAnchors, DeltaXYWHCoder, SSDAnchorGenerator
from hatlite.models.postprocess.anchor_decoder import RetinaDecoder, SSDDecoder
from hatlite.registry import OBJECT_REGISTRY

ANCHORS = CellAnchors((8, 16), [[(8, 8)], [(16, 16), (16, 8)]])
IDENTITY = torch.eye(3, dtype=torch.float64)


def batch_of(size=32, matrix=IDENTITY, orig_size=None):
    return {"img": torch.zeros(1, 3, size, size), "matrix": [matrix], "orig_size": [orig_size or (size, size)]}


def decoder_of(kind=SSDDecoder, generator=ANCHORS, classes=2, **test_cfg):
    decoder = kind(test_cfg=test_cfg)
    decoder.bind(classes, generator.strides)
    decoder.bind_anchors(generator, DeltaXYWHCoder(), kind.background)
    return decoder


def outputs_of(found, background=True, classes=2):
    """Return outputs that see nothing but `found`: (stride, row, column, anchor, logits of a cell, deltas)."""
    channels = classes + background
    outputs = {}
    for stride, anchors in zip(ANCHORS.strides, ANCHORS.num_anchors, strict=True):
        side = 32 // stride
        nothing = torch.full((channels,), -20.0)
        nothing[classes:] = 20.0
        outputs[f"cls_logits_s{stride}"] = nothing.repeat(anchors)[None, :, None, None].repeat(1, 1, side, side)
        outputs[f"bbox_regression_s{stride}"] = torch.zeros(1, 4 * anchors, side, side)
    for stride, row, column, anchor, logits, deltas in found:
        where = slice(anchor * channels, (anchor + 1) * channels)
        outputs[f"cls_logits_s{stride}"][0, where, row, column] = torch.tensor(logits)
        where = slice(anchor * 4, (anchor + 1) * 4)
        outputs[f"bbox_regression_s{stride}"][0, where, row, column] = torch.tensor(deltas)
    return outputs


NINE_TENTHS = math.log(9.0)


def test_softmax_by_hand():
    # The second anchor of row 0, column 1 is 16 × 8 around (24, 8); it moves by 0.1 · 2.5 sides and doubles in height.
    deltas = [-2.5, 2.5, 0.0, math.log(2) / 0.2]
    outputs = outputs_of([(16, 0, 1, 1, [0.0, NINE_TENTHS + math.log(2), 0.0], deltas)])
    found = decoder_of()(outputs, batch_of())[0]
    assert found.boxes[0].tolist() == pytest.approx([12, 2, 28, 18], abs=1e-4)
    assert found.scores.tolist() == pytest.approx([0.9, 0.05])
    assert found.labels.tolist() == [1, 0]  # background, the last, is no object
    assert len(decoder_of(score_thr=0.1)(outputs, batch_of())[0]) == 1


def test_sigmoid_by_hand():
    outputs = outputs_of([(8, 1, 2, 0, [-NINE_TENTHS, NINE_TENTHS], [0.0] * 4)], background=False)
    found = decoder_of(RetinaDecoder)(outputs, batch_of())[0]
    assert found.boxes.tolist() == [[16, 8, 24, 16]] * 2
    assert found.scores.tolist() == pytest.approx([0.9, 0.1])


def test_boxes_return_to_the_original_and_are_clipped():
    double = torch.diag(torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64))
    outputs = outputs_of([(16, 1, 1, 0, [20.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0])])
    found = decoder_of()(outputs, batch_of(matrix=double, orig_size=(15, 16)))[0]
    assert found.boxes.tolist() == [[8, 12, 16, 15]]


def test_the_best_of_a_level_alone():
    cells = [(8, 0, i, 0, [float(i), 0.0, 0.0], [0.0] * 4) for i in range(4)]
    assert len(decoder_of(nms_pre=1, score_thr=0.4)(outputs_of(cells), batch_of())[0]) == 1
    assert len(decoder_of(score_thr=0.4)(outputs_of(cells), batch_of())[0]) == 3


def test_published_options():
    ssd, retina = SSDDecoder(), RetinaDecoder()
    assert (ssd.score_threshold, ssd.nms_pre, ssd.iou_threshold, ssd.max_per_img) == (0.02, None, 0.45, 200)
    assert (retina.score_threshold, retina.nms_pre, retina.iou_threshold, retina.max_per_img) == (0.05, 1000, 0.5, 100)


@pytest.mark.parametrize(("kind", "other"), [(SSDDecoder, "RetinaDecoder"), (RetinaDecoder, "SSDDecoder")])
def test_it_reads_classes_as_the_head_gives_them(kind, other):
    with pytest.raises(BuildError, match=f"{kind.__name__}: the head has .*background class, .* take {other}"):
        kind().bind_anchors(ANCHORS, DeltaXYWHCoder(), not kind.background)


def drawn_outputs(generator, channels, size, seed):
    draw = torch.Generator().manual_seed(seed)
    outputs = {}
    for stride, anchors in zip(generator.strides, generator.num_anchors, strict=True):
        side = -(-size // stride)
        outputs[f"cls_logits_s{stride}"] = 2 * torch.randn(1, anchors * channels, side, side, generator=draw)
        outputs[f"bbox_regression_s{stride}"] = torch.randn(1, anchors * 4, side, side, generator=draw)
    return outputs


def in_rows(outputs, kind, strides, channels):
    maps = [outputs[f"{kind}_s{stride}"][0] for stride in strides]
    return torch.cat([x.permute(1, 2, 0).reshape(-1, channels) for x in maps])


def of_torchvision(scores, deltas, anchors, size, decoder):
    """Threshold, decode, clip, NMS per class and cut, with torchvision's functions."""
    anchor, label = (scores >= decoder.score_threshold).nonzero(as_tuple=True)
    boxes = BoxCoder((10.0, 10.0, 5.0, 5.0)).decode_single(deltas[anchor], anchors[anchor])
    boxes, score = clip_boxes_to_image(boxes, (size, size)), scores[anchor, label]
    kept = batched_nms(boxes, score, label, decoder.iou_threshold)[: decoder.max_per_img]
    return boxes[kept], score[kept], label[kept]


def ssd_of_torchvision(outputs, generator, classes, size, decoder):
    """The whole way from outputs to objects, with torchvision's default boxes."""
    scales = [bound / size for bound in (*generator.min_sizes, generator.max_sizes[-1])]
    ratios = [[2] if anchors == 4 else [2, 3] for anchors in generator.num_anchors]
    default_boxes = DefaultBoxGenerator(ratios, scales=scales, steps=list(generator.strides), clip=False)
    maps = [outputs[f"cls_logits_s{stride}"] for stride in generator.strides]
    anchors = default_boxes(ImageList(torch.zeros(1, 3, size, size), [(size, size)]), maps)[0]
    scores = in_rows(outputs, "cls_logits", generator.strides, classes + 1).softmax(dim=1)[:, :classes]
    deltas = in_rows(outputs, "bbox_regression", generator.strides, 4)
    return of_torchvision(scores, deltas, anchors, size, decoder)


def assert_same(found, expected):
    boxes, scores, labels = expected
    assert torch.equal(found.labels, labels)
    torch.testing.assert_close(found.scores, scores)
    torch.testing.assert_close(found.boxes, boxes, rtol=0, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_torchvision_detects_the_same_with_ssd(seed):
    generator, classes = SSDAnchorGenerator(128), 4
    outputs = drawn_outputs(generator, classes + 1, 128, seed)
    decoder = decoder_of(generator=generator, classes=classes, score_thr=0.3)
    found = decoder(outputs, batch_of(128))[0]
    assert len(found) == 200
    assert_same(found, ssd_of_torchvision(outputs, generator, classes, 128, decoder))


def test_torchvision_detects_the_same_with_the_weights_of_a_detector(small_ssd):
    torch.manual_seed(0)
    detector = OBJECT_REGISTRY.build(small_ssd()).eval()
    for branch in (*detector.network.head.cls_logits, *detector.network.head.bbox_regression):
        torch.nn.init.normal_(branch.conv.weight, std=0.3)
    batch = batch_of(64) | {"img": torch.randn(1, 3, 64, 64)}
    with torch.no_grad():
        found, outputs = detector(batch)[0], detector.network(batch["img"])
    assert len(found) > 20
    generator = detector.network.head.anchor_generator
    assert_same(found, ssd_of_torchvision(outputs, generator, 3, 64, detector.post_process))


def test_torchvision_detects_the_same_with_retinanet():
    generator, classes = AnchorGenerator((16, 32)), 3
    outputs = drawn_outputs(generator, classes, 128, 0)
    decoder = decoder_of(RetinaDecoder, generator, classes, score_thr=0.5)
    found = decoder(outputs, batch_of(128))[0]
    scores = in_rows(outputs, "cls_logits", generator.strides, classes).sigmoid()
    deltas = in_rows(outputs, "bbox_regression", generator.strides, 4)
    assert_same(found, of_torchvision(scores, deltas, generator.anchors([(8, 8), (4, 4)]), 128, decoder))
