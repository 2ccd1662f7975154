import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from hatlite.export.outputs import describe_ports, outputs_table, with_note

SHAPES = {"cls_logits_s8": (12, 6, 8), "raw_s16": (2, 3, 4)}


@pytest.fixture
def ports():
    kinds = {"cls_logits_s8": TensorProto.INT16, "raw_s16": TensorProto.INT32}
    return [helper.make_tensor_value_info(name, kind, ["N", *SHAPES[name]]) for name, kind in kinds.items()]


def test_every_output_is_described(ports):
    scales = {"cls_logits_s8": 1 / 1024, "raw_s16": np.array([0.5, 0.25])}
    logits, raw = describe_ports(ports, SHAPES, {"cls_logits_s8": 8, "raw_s16": 16}, scales)
    shape = ["N", 12, 6, 8]
    expected = {"name": "cls_logits_s8", "stride": 8, "scale": 1 / 1024, "dtype": "int16", "layout": "NCHW"}
    assert logits == {**expected, "shape": shape}
    assert (raw["dtype"], raw["scale"]) == ("int32", [0.5, 0.25])
    assert json.loads(json.dumps([logits, raw])) == [logits, raw]


def test_real_numbers_have_the_scale_one_and_an_image_the_stride_one(ports):
    real = helper.make_tensor_value_info("img", TensorProto.FLOAT, ["N", 3, 48, 64])
    (image,) = describe_ports([real], {"img": (3, 48, 64)}, {}, {})
    assert (image["stride"], image["scale"], image["dtype"]) == (1, 1.0, "float32")


def test_the_table_has_a_line_per_output(ports):
    scales = {"cls_logits_s8": 1 / 1024, "raw_s16": np.array([0.5, 0.25])}
    title, logits, raw = outputs_table(describe_ports(ports, SHAPES, dict.fromkeys(SHAPES, 8), scales)).splitlines()
    assert title.split() == ["output", "stride", "dtype", "scale", "shape", "(N,", "C,", "H,", "W)"]
    assert logits.split() == ["cls_logits_s8", "8", "int16", "0.0009765625", "(N,", "12,", "6,", "8)"]
    assert "one per channel" in raw


def test_a_note_goes_beside_what_the_metadata_hold():
    model = helper.make_model(helper.make_graph([], "g", [], []))
    helper.set_model_props(model, {"form": "golden", "decoding": "old"})
    noted = with_note(model, {"decoding": "on the host", "classes": ["a", "b"]})
    held = {entry.key: entry.value for entry in noted.metadata_props}
    assert held == {"form": "golden", "decoding": "on the host", "classes": '["a", "b"]'}
    assert {entry.key: entry.value for entry in model.metadata_props}["decoding"] == "old"
