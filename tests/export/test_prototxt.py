"""The meta-architecture read back, by protobuf with the fields that TI publishes and by what they mean there."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from anchor_decoders import CELLS, CLASSES, contract_for, retina_decoder, ssd_decoder
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from hatlite.errors import ProgramError
from hatlite.export import inexpressible, meta_arch
from hatlite.export.prototxt import proto_text
from hatlite.models import DeltaXYWHCoder

MESSAGES = {
    "TIDLMetaArch": "string name; caffe_ssd* caffe_ssd; tidl_retinanet* tidl_retinanet",
    "caffe_ssd": "string* box_input; string* class_input; string* output; string name; uint32 in_width;"
    " uint32 in_height; Converter score_converter; Prior* prior_box_param; PostProc detection_output_param;"
    " Layout data_layout; string framework",
    "tidl_retinanet": "string* box_input; string* class_input; string* output; string name; uint32 in_width;"
    " uint32 in_height; uint32 anchorbox_order; float x_scale; float y_scale; float width_scale; float height_scale;"
    " float x_offset; float y_offset; Converter score_converter; Anchors anchor_param; PostProc detection_output_param;"
    " string framework",
    "Prior": "float* min_size; float* max_size; float* aspect_ratio; bool flip; bool clip; float* variance; float step;"
    " float offset",
    "Anchors": "float* aspect_ratio; float octave_base_scale; uint32 scales_per_octave",
    "PostProc": "uint32 num_classes; bool share_location; int32 background_label_id; Nms nms_param; Code code_type;"
    " int32 keep_top_k; float confidence_threshold",
    "Nms": "float nms_threshold; int32 top_k; float eta",
}
"""Message → its fields; a star is for a repeated one."""
ENUMS = {"Layout": ("SEPARATED", "INTERLEAVED"), "Converter": ("SOFTMAX", "SIGMOID"), "Code": ("CORNER", "CENTER_SIZE")}


def parsed(text):
    """Return `text` as the message that TI's tools read."""
    file = descriptor_pb2.FileDescriptorProto(name="meta.proto", package="t", syntax="proto2")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, described in enumerate(fields.split(";"), 1):
            kind, key = described.split()
            field = message.field.add(name=key, number=number, label=3 if kind.endswith("*") else 1)
            kind = kind.rstrip("*")
            if kind in MESSAGES or kind in ENUMS:
                field.type, field.type_name = (11 if kind in MESSAGES else 14), f".t.{kind}"
            else:
                field.type = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.TIDLMetaArch"))
    return text_format.Parse(text, kind())


def boxes_of(stride, sides, offset):
    """Return the (A, 4) anchors of one level from what the message says of it."""
    rows, columns = CELLS[stride]
    centres = [
        ((x + offset) * stride, (y + offset) * stride) for y, x in itertools.product(range(rows), range(columns))
    ]
    return [[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y in centres for w, h in sides]


def test_ssd_with_background_as_the_last_class():
    contract = contract_for(ssd_decoder(score_thr=0.3, nms={"iou_threshold": 0.5}, max_per_img=77))
    arch = parsed(meta_arch(contract))
    (ssd,) = arch.caffe_ssd
    assert (arch.name, ssd.in_width, ssd.in_height, ssd.framework) == ("ssd", 64, 48, "MMDetection")
    assert list(ssd.class_input) == ["cls_logits_s8", "cls_logits_s16", "cls_logits_s32"]
    assert list(ssd.box_input) == ["bbox_regression_s8", "bbox_regression_s16", "bbox_regression_s32"]
    assert ssd.score_converter == ENUMS["Converter"].index("SOFTMAX")
    post = ssd.detection_output_param
    assert (post.num_classes, post.background_label_id) == (CLASSES + 1, CLASSES)
    assert (post.keep_top_k, post.nms_param.top_k, post.code_type) == (77, 77, ENUMS["Code"].index("CENTER_SIZE"))
    assert (post.confidence_threshold, post.nms_param.nms_threshold) == (np.float32(0.3), 0.5)
    assert post.share_location and post.nms_param.HasField("eta") and post.nms_param.eta == 1
    assert ssd.HasField("data_layout") and ssd.data_layout == ENUMS["Layout"].index("SEPARATED")


def test_the_anchors_of_ssd_can_be_made_from_the_message():
    contract = contract_for(ssd_decoder())
    boxes = []
    for prior in parsed(meta_arch(contract)).caffe_ssd[0].prior_box_param:
        (low,), (high,) = prior.min_size, prior.max_size
        sides = [(low, low), (math.sqrt(low * high),) * 2]
        for ratio in prior.aspect_ratio:
            sides += [
                (low * math.sqrt(r), low / math.sqrt(r)) for r in ((ratio, 1 / ratio) if prior.flip else (ratio,))
            ]
        assert not prior.clip
        np.testing.assert_allclose(prior.variance, [0.1, 0.1, 0.2, 0.2], rtol=1e-6)
        boxes += boxes_of(prior.step, sides, prior.offset)
    np.testing.assert_allclose(boxes, contract.anchors, atol=1e-4)


def test_retinanet_without_background_and_its_anchors():
    contract = contract_for(retina_decoder(nms_pre=500))
    arch = parsed(meta_arch(contract))
    (retina,) = arch.tidl_retinanet
    post, anchors = retina.detection_output_param, retina.anchor_param
    assert (arch.name, retina.score_converter) == ("retinanet", ENUMS["Converter"].index("SIGMOID"))
    assert (post.num_classes, post.background_label_id, post.nms_param.top_k) == (CLASSES, -1, 500)
    assert [retina.x_scale, retina.y_scale, retina.width_scale, retina.height_scale] == [1.0] * 4
    assert retina.HasField("anchorbox_order") and post.nms_param.eta == 1
    boxes = []
    for stride in CELLS:
        octaves = [2 ** (k / anchors.scales_per_octave) for k in range(anchors.scales_per_octave)]
        side = [stride * anchors.octave_base_scale * octave for octave in octaves]
        sides = [(s / math.sqrt(r), s * math.sqrt(r)) for r in anchors.aspect_ratio for s in side]
        assert retina.x_offset == retina.y_offset and retina.anchorbox_order == 0
        boxes += boxes_of(stride, sides, retina.x_offset)
    np.testing.assert_allclose(boxes, contract.anchors, atol=1e-3)


def test_scales_of_retinanet_are_the_reciprocals_of_the_stds():
    (retina,) = parsed(meta_arch(contract_for(retina_decoder(DeltaXYWHCoder())))).tidl_retinanet
    scales = [retina.x_scale, retina.y_scale, retina.width_scale, retina.height_scale]
    np.testing.assert_allclose(scales, [10, 10, 5, 5], rtol=1e-6)


def test_what_the_message_has_no_fields_for_is_refused():
    moved = contract_for(ssd_decoder(DeltaXYWHCoder(means=(0, 0, 0.5, 0))))
    with pytest.raises(
        ProgramError, match=r"cannot be told as .*: it has no place for the box coder's means \[0, 0, 0"
    ):
        meta_arch(moved)
    ssd, retina = contract_for(ssd_decoder()), contract_for(retina_decoder())
    assert inexpressible(ssd) is None and inexpressible(retina) is None
    crossed = dataclasses.replace(ssd, generated=retina.generated)
    assert inexpressible(crossed) == "it describes the anchors of SSDAnchorGenerator alone, for a head like this"
    assert "anchors of AnchorGenerator alone" in inexpressible(dataclasses.replace(retina, generated=ssd.generated))
    assert "AnchorGenerator alone" in inexpressible(dataclasses.replace(retina, generated=None))


def test_text_is_escaped_and_repeated_fields_repeat():
    assert proto_text({"a": 'b"\\', "n": [1, 2], "m": {"x": True}}) == 'a: "b\\"\\\\"\nn: 1\nn: 2\nm {\n  x: true\n}\n'
