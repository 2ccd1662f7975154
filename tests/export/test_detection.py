"""Decoding in ONNX Runtime against the detectors' own decoders, at exact ties too."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from anchor_decoders import CLASSES, SIZE, contract_for, random_outputs, retina_decoder, shapes_for, ssd_decoder
from onnx import TensorProto, helper

from hatlite.errors import ProgramError
from hatlite.export.detection import with_detection
from hatlite.models import DeltaXYWHCoder

KINDS = {"SSD": ssd_decoder, "RetinaNet": retina_decoder}


def pass_through(decoder, opset=17, dtype=TensorProto.FLOAT):
    """Return a model whose outputs are its inputs, instead of a network."""
    nodes, inputs, outputs = [], [], []
    for name, shape in shapes_for(decoder).items():
        nodes.append(helper.make_node("Identity", [f"{name}_in"], [name]))
        inputs.append(helper.make_tensor_value_info(f"{name}_in", dtype, ["N", *shape]))
        outputs.append(helper.make_tensor_value_info(name, dtype, ["N", *shape]))
    graph = helper.make_graph(nodes, "network", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def found_by(model, outputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {f"{name}_in": value.numpy() for name, value in outputs.items()})


def require_same(decoder, outputs, opset=17, atol=1e-4):
    """Every image has the objects of `decoder` in its order, and behind them nothing."""
    boxes, scores, labels = found_by(with_detection(pass_through(decoder, opset), contract_for(decoder)), outputs)
    count = len(boxes)
    expected = decoder(outputs, {"img": torch.zeros(count, 3, *SIZE)})
    for i, objects in enumerate(expected):
        rows = len(objects)
        np.testing.assert_array_equal(labels[i], np.r_[objects.labels, np.full(len(labels[i]) - rows, -1)])
        np.testing.assert_allclose(boxes[i, :rows], objects.boxes, atol=atol)
        np.testing.assert_allclose(scores[i, :rows], objects.scores, atol=1e-6)
        assert not boxes[i, rows:].any() and not scores[i, rows:].any()
    return expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opset", [17, 21])
def test_the_objects_of_the_decoder(kind, opset):
    decoder = KINDS[kind](score_thr=0.1, max_per_img=40, nms_pre=25)
    found = require_same(decoder, random_outputs(decoder, 3, seed=0), opset)
    assert {len(objects) for objects in found} == {40}
    decoder = KINDS[kind](score_thr=0.88, max_per_img=300)
    found = require_same(decoder, random_outputs(decoder, 3, seed=1), opset)
    assert 0 < max(len(objects) for objects in found) < 300


@pytest.mark.parametrize("kind", KINDS)
def test_means_and_stds_of_the_coder(kind):
    coder = DeltaXYWHCoder((0.1, -0.2, 0.3, 0.05), (0.5, 0.25, 2.0, 1.0))
    decoder = KINDS[kind](coder, score_thr=0.2, max_per_img=50)
    require_same(decoder, random_outputs(decoder, 2, seed=2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nms_pre", [None, 7])
def test_of_equal_scores_the_decoders_choice_wins(kind, nms_pre):
    """Logits of 0 and ±1000 make probabilities of which float32 has no two readings."""
    decoder = KINDS[kind](score_thr=0.2, max_per_img=30, nms_pre=nms_pre)
    outputs = {name: torch.zeros_like(value) for name, value in random_outputs(decoder, 1, seed=0).items()}
    assert len(require_same(decoder, outputs)[0]) >= (30 if nms_pre is None else 15)
    outputs = random_outputs(decoder, 2, seed=3)
    for name, value in outputs.items():
        if name.startswith("cls_logits"):
            outputs[name] = value.round().clamp(-1, 1) * 1000
    require_same(decoder, outputs)


@pytest.mark.parametrize(("threshold", "found"), [(0.5, True), (0.50000006, False)])
def test_a_score_at_the_threshold_counts(threshold, found):
    decoder = retina_decoder(score_thr=threshold)
    outputs = {name: torch.zeros(1, *shape) for name, shape in shapes_for(decoder).items()}
    assert bool(len(require_same(decoder, outputs)[0])) == found


def test_a_score_of_zero_counts_where_the_threshold_is_zero():
    decoder = retina_decoder(score_thr=0.0, max_per_img=2000)
    outputs = random_outputs(decoder, 1, seed=0)
    for name in outputs:
        if name.startswith("cls_logits"):
            outputs[name] = torch.full_like(outputs[name], -1000.0)
    found = require_same(decoder, outputs)[0]
    assert len(found) > 100 and not found.scores.any()


def test_boxes_without_area_are_no_objects():
    decoder = ssd_decoder(score_thr=0.2)
    outputs = {name: torch.zeros(1, *shape) for name, shape in shapes_for(decoder).items()}
    outputs["bbox_regression_s8"][0, 0::4] = -1000.0  # to the left, out of the image
    found = require_same(decoder, outputs)[0]
    assert 0 < len(found) and bool((found.boxes[:, 2] > 0).all())


def test_there_are_no_more_rows_than_answers():
    decoder = retina_decoder(max_per_img=10**6)
    contract = contract_for(decoder)
    model = with_detection(pass_through(decoder), contract)
    assert [port.name for port in model.graph.output] == ["boxes", "scores", "labels"]
    assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == len(contract.anchors) * CLASSES


def test_the_network_is_not_changed_and_the_file_is_sound():
    decoder = ssd_decoder()
    network = pass_through(decoder)
    before = network.SerializeToString()
    onnx.checker.check_model(with_detection(network, contract_for(decoder)), full_check=True)
    assert network.SerializeToString() == before


def test_integers_and_missing_outputs_are_refused():
    decoder = ssd_decoder()
    contract = contract_for(decoder)
    integers = pass_through(decoder, dtype=TensorProto.INT16)
    with pytest.raises(ProgramError, match="needs the float32 output 'cls_logits_s8', but it is integers; the model"):
        with_detection(integers, contract)
    other = dataclasses.replace(contract, levels=(contract.levels[0]._replace(box_output="ltrb_s8"),))
    with pytest.raises(ProgramError, match="output 'ltrb_s8', but it is not there; .* Export it with real ends"):
        with_detection(pass_through(decoder), other)
