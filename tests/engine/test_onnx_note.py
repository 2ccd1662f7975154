"""What lies beside an ONNX file, for detectors with and without a meta-architecture."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from anchor_decoders import SIZE, retina_decoder, shapes_for, ssd_decoder
from onnx import TensorProto, helper, numpy_helper

from hatlite.engine.onnx_note import OnnxNetwork, write_onnx
from hatlite.errors import ConfigError
from hatlite.models import DeltaXYWHCoder, FCOSDecoder


class SSDLike(torch.nn.Module):
    """A detector without a network."""

    def __init__(self, decoder):
        super().__init__()
        self.post_process = decoder


def network(decoder, shapes, dtype=np.float32, scale=None):
    """Return a network of constants around `decoder`."""
    nodes, outputs = [], []
    for name, shape in shapes.items():
        value = numpy_helper.from_array(np.zeros((1, *shape), dtype))
        nodes.append(helper.make_node("Constant", [], [name], value=value))
        outputs.append(helper.make_tensor_value_info(name, value.data_type, [1, *shape]))
    image = helper.make_tensor_value_info("img", TensorProto.FLOAT, ["N", 3, *SIZE])
    graph = helper.make_graph(nodes, "network", [image], outputs)
    return OnnxNetwork(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        None if decoder is None else SSDLike(decoder),
        shapes={"img": (3, *SIZE), **shapes},
        strides={name: int(name.rpartition("_s")[2]) for name in shapes},
        scales={} if scale is None else dict.fromkeys(("img", *shapes), scale),
        metadata={"task": "t", "classes": ("a", "b", "c")},
    )


def with_anchors(decoder, **more):
    return network(decoder, shapes_for(decoder), **more)


def without_anchors():
    """The network of an FCOS with integers for outputs."""
    kinds = {"cls_logits": 3, "bbox_regression": 4, "centerness": 1}
    shapes = {f"{kind}_s{stride}": (c, 48 // stride, 64 // stride) for stride in (8, 16) for kind, c in kinds.items()}
    decoder = FCOSDecoder()
    decoder.bind(3, (8, 16))
    return network(decoder, shapes, np.int16, 2**-10)


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize(("decoder", "field"), [(ssd_decoder, "caffe_ssd {"), (retina_decoder, "tidl_retinanet {")])
def test_real_outputs_get_a_meta_architecture_with_their_names(tmp_path, decoder, field):
    out = tmp_path / "net.onnx"
    said = write_onnx(with_anchors(decoder()), out)
    text = (tmp_path / "net.prototxt").read_text(encoding="utf-8")
    assert field in text
    for output in onnx.load(out).graph.output:
        assert f'_input: "{output.name}"\n' in text
    assert said.splitlines()[:3] == [
        f"Written: {out.with_suffix(suffix)}" for suffix in (".onnx", ".json", ".prototxt")
    ]
    assert "Decoding: by the detection meta-architecture in net.prototxt, or on the host, by what " in said


def test_without_a_meta_architecture_the_host_decodes_named_outputs(tmp_path):
    out = tmp_path / "fcos.onnx"
    said = write_onnx(without_anchors(), out)
    note = json.loads((tmp_path / "fcos.json").read_text(encoding="utf-8"))
    expected = {"name": "cls_logits_s16", "stride": 16, "scale": 2**-10, "dtype": "int16", "layout": "NCHW"}
    assert {**expected, "shape": ["N", 3, 3, 4]} in note["outputs"]
    assert note["inputs"] == [
        {"name": "img", "stride": 1, "scale": 2**-10, "dtype": "float32", "layout": "NCHW", "shape": ["N", 3, *SIZE]}
    ]
    assert (note["task"], note["classes"]) == ("t", ["a", "b", "c"])
    sentence = "on the host, by what FCOSDecoder does with these outputs; there is no detection meta-architecture for"
    assert note["decoding"].startswith(sentence) and f"Decoding: {sentence}" in said
    held = metadata(out)
    assert json.loads(held["outputs"]) == note["outputs"] and held["decoding"] == note["decoding"]
    assert not (tmp_path / "fcos.prototxt").exists()


def test_integers_have_none_and_that_of_an_older_file_goes(tmp_path):
    out = tmp_path / "net.onnx"
    write_onnx(with_anchors(ssd_decoder()), out)
    assert (tmp_path / "net.prototxt").exists()
    said = write_onnx(with_anchors(ssd_decoder(), dtype=np.int16, scale=0.5), out)
    assert "times their scales; with --real there is a detection meta-architecture for SSDLike." in said
    assert not (tmp_path / "net.prototxt").exists()


def test_a_coder_with_means_leaves_decoding_to_the_host(tmp_path):
    said = write_onnx(with_anchors(ssd_decoder(DeltaXYWHCoder(means=(0, 0, 1, 0)))), tmp_path / "net.onnx")
    assert "; the detection meta-architecture does not suit: it has no place for the box coder's means" in said
    assert not (tmp_path / "net.prototxt").exists()


@pytest.mark.parametrize("detector", [None, SimpleNamespace(post_process=None)])
def test_without_post_process_the_note_says_so(tmp_path, detector):
    made = network(None, {"y_s8": (1, 6, 8)})
    object.__setattr__(made, "detector", detector)
    assert " has no post_process that could be told of." in write_onnx(made, tmp_path / "net.onnx")


def test_detection_in_the_file(tmp_path):
    out = tmp_path / "net.onnx"
    said = write_onnx(with_anchors(ssd_decoder(max_per_img=50)), out, detect=True)
    assert [output.name for output in onnx.load(out).graph.output] == ["boxes", "scores", "labels"]
    assert said.startswith(
        f"Written: {out}\nDecoding: in this file: boxes (N, 50, 4), scores (N, 50) and labels (N, 50)"
    )
    assert metadata(out)["decoding"].startswith("in this file") and metadata(out)["classes"] == '["a", "b", "c"]'
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize(
    ("made", "out", "detect", "sentence"),
    [
        (
            without_anchors,
            "a.onnx",
            True,
            "into the file, and SSDLike has none; leave it out: the file then ends at named",
        ),
        (
            lambda: network(None, {"y_s8": (1, 6, 8)}),
            "a.onnx",
            True,
            "and a config without model has none; leave it out",
        ),
        (without_anchors, "a.json", False, r"--out is .*a.json; expected a name that ends in .onnx, beside which"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, made, out, detect, sentence):
    with pytest.raises(ConfigError, match=sentence):
        write_onnx(made(), tmp_path / out, detect=detect)
    assert list(tmp_path.iterdir()) == []
