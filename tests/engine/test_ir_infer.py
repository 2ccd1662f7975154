from dataclasses import replace

import pytest
import torch

from hatlite import program
from hatlite.engine import Run, predict_stage, restore, run_stage
from hatlite.engine.converters import lower_detector
from hatlite.engine.ir_infer import FCOSIrInfer, GNetDetIrInfer, HbirModule, RetinaNetIrInfer, SSDIrInfer
from hatlite.engine.parts import quantize_random
from hatlite.errors import BuildError, ProgramError
from hatlite.models import AnchorGenerator, FCOSDecoder, GridDecoder, RetinaDecoder, SSDDecoder
from hatlite.registry import OBJECT_REGISTRY

FCOS = {
    "type": "FCOS",
    "backbone": {"type": "efficientnet", "model_type": "b0", "width_coefficient": 0.25, "depth_coefficient": 0.3},
    "neck": {"type": "BiFPN", "out_strides": [8, 16, 32], "num_outs": 3, "stack": 1, "out_channels": 8},
    "head": {
        "type": "FCOSHead",
        "num_classes": 2,
        "in_strides": [8, 16, 32],
        "feat_channels": 8,
        "stacked_convs": 1,
        "upscale_bbox_pred": True,
        "int16_output": True,
    },
    "post_process": {"type": "FCOSDecoder"},
}
SSD_ANCHORS = {
    "type": "SSDAnchorGenerator",
    "input_size": 32,
    "strides": [8, 16, 32],
    "ratios": [[2], [2, 3], [2]],
    "basesize_ratio_range": [0.2, 0.9],
}
SSD = {
    **FCOS,
    "type": "SSD",
    "neck": {"type": "FPN", "out_strides": [8, 16, 32], "out_channels": 8},
    "head": {"type": "SSDHead", "num_classes": 2, "anchor_generator": SSD_ANCHORS, "int16_output": True},
    "post_process": {"type": "SSDDecoder"},
}
RETINA_ANCHORS = {"type": "AnchorGenerator", "strides": [8, 16, 32]}
RETINANET = {
    **SSD,
    "type": "RetinaNet",
    "neck": {"type": "FPN", "out_strides": [8, 16, 32], "out_channels": 8, "norm": False},
    "head": {**FCOS["head"], "type": "RetinaHead", "anchor_generator": RETINA_ANCHORS},
    "post_process": {"type": "RetinaDecoder"},
}
del RETINANET["head"]["upscale_bbox_pred"]
GNETDET = {
    "type": "GNetDet",
    "backbone": {"type": "GNet", "input_size": 28, "widths": [[8], [8]]},
    "head": {"type": "GNetHead", "num_classes": 2, "raise_zeros": False},
    "post_process": {"type": "GridDecoder", "conf_thresh": 0.0, "prob_thresh": 0.0},
}


def save(folder, config, side=32):
    """Return the path of a program with random weights, and the detector that it was lowered from."""
    inputs = {"img": torch.zeros(1, 3, side, side)}
    run = Run({"task_name": "t", "model": config, "num_classes": 2, "deploy_inputs": inputs, "ckpt_dir": str(folder)})
    torch.manual_seed(0)
    model = OBJECT_REGISTRY.build(config)
    quantize_random(run, model)
    program.save(lower_detector(run, model), run.program())
    return run.program(), model


@pytest.fixture
def saved(tmp_path):
    return save(tmp_path, FCOS)


@pytest.fixture(scope="module")
def saved_ssd(tmp_path_factory):
    return save(tmp_path_factory.mktemp("ssd"), SSD)


def image_batch():
    img = torch.randint(-128, 128, (2, 3, 32, 32), generator=torch.Generator().manual_seed(1)) / 128
    return {"img": img, "matrix": [torch.eye(3)] * 2, "orig_size": [(32, 32)] * 2}


def test_a_program_is_a_detector_that_finds_what_its_graph_finds(saved):
    path, model = saved
    config = {
        "type": "FCOSIrInfer",
        "ir_model": {"type": "HbirModule", "model_path": str(path)},
        "post_process": {
            "type": "FCOSDecoder",
            "num_classes": 2,
            "strides": [8, 16, 32],
            "test_cfg": {"score_thr": 0.0},
        },
    }
    detector = OBJECT_REGISTRY.build(config)
    batch = image_batch()
    with torch.no_grad():
        graph = model.network(batch["img"])
    outputs = detector.network(batch["img"])
    assert all(torch.equal(outputs[name], graph[name]) for name in graph)
    assert (detector.num_classes, detector.strides) == (2, (8, 16, 32))
    for found, expected in zip(detector(batch), detector.detect(graph, batch), strict=True):
        assert torch.equal(found.boxes, expected.boxes)
        assert len(found.boxes)
    assert detector.compute_losses(outputs, batch) == {}


def test_classes_and_strides_must_agree_with_the_decoder(saved):
    with pytest.raises(BuildError, match="post_process.num_classes"):
        FCOSIrInfer(HbirModule(saved[0]), FCOSDecoder(num_classes=3))


def test_a_missing_program_says_how_to_export_it(tmp_path):
    with pytest.raises(ProgramError, match=r"no program .*quantized\.bc; export it with tools/export_hbir\.py, which"):
        HbirModule(tmp_path / "quantized.bc")


def test_a_program_of_gnetdet_finds_what_its_graph_finds(tmp_path):
    path, model = save(tmp_path, GNETDET, side=28)
    decoder = GridDecoder(conf_thresh=0.0, prob_thresh=0.0)
    detector = GNetDetIrInfer(HbirModule(path), decoder)
    img = torch.randint(0, 32, (2, 3, 28, 28), generator=torch.Generator().manual_seed(1)).float()
    batch = {"img": img, "matrix": [torch.eye(3)] * 2, "orig_size": [(28, 28)] * 2}
    with torch.no_grad():
        expected = model.detect(model.network(img), batch)
    assert (detector.num_classes, detector.strides) == (2, (2,))
    for ours, theirs in zip(detector(batch), expected, strict=True):
        assert torch.equal(ours.boxes, theirs.boxes) and torch.equal(ours.scores, theirs.scores)
        assert len(ours.boxes)


def test_a_program_of_another_detector_is_told(saved, tmp_path):
    with pytest.raises(
        BuildError, match=r"GNetDetIrInfer: the program 't' has the outputs cls_logits_s8.*; expected on"
    ):
        GNetDetIrInfer(HbirModule(saved[0]), GridDecoder())
    path, _ = save(tmp_path, GNETDET, side=28)
    with pytest.raises(
        BuildError, match=r"FCOSIrInfer: .* outputs predictions_s2; expected .*, centerness_s8 and so on"
    ):
        FCOSIrInfer(HbirModule(path), FCOSDecoder())
    loaded = program.load(path)
    two = replace(loaded.outputs[0], name="predictions_s4")
    program.save(replace(loaded, outputs=(*loaded.outputs, two)), path)
    with pytest.raises(
        BuildError, match="predictions_s2 with 12, predictions_s4 with 12 channels; expected one, predict"
    ):
        GNetDetIrInfer(HbirModule(path), GridDecoder())


@pytest.mark.parametrize(
    ("kind", "config"), [("SSDIrInfer", SSD), ("RetinaNetIrInfer", RETINANET)], ids=["SSD", "RetinaNet"]
)
def test_a_program_with_anchors_finds_what_its_graph_finds(tmp_path, kind, config):
    path, model = save(tmp_path, config)
    parts = {"post_process": config["post_process"], "anchor_generator": config["head"]["anchor_generator"]}
    detector = OBJECT_REGISTRY.build({"type": kind, "ir_model": {"type": "HbirModule", "model_path": path}, **parts})
    detector.post_process.score_threshold = model.post_process.score_threshold = 0.0
    batch = image_batch()
    with torch.no_grad():
        expected = model.detect(model.network(batch["img"]), batch)
    assert (detector.num_classes, detector.strides) == (2, (8, 16, 32))
    for ours, theirs in zip(detector(batch), expected, strict=True):
        assert torch.equal(ours.boxes, theirs.boxes) and torch.equal(ours.scores, theirs.scores)
        assert len(ours.boxes)


@pytest.mark.parametrize(
    ("anchors", "sentence"),
    [
        (
            {"strides": [8, 16, 64]},
            r"anchor_generator.strides is \(8, 16, 64\), but what the program 't' has is \(8",
        ),
        (
            {"ratios": [[2], [2], [2]]},
            "have 12 at stride 8, 18 at stride 16, 12 at stride 32 channels, which is no n",
        ),
        (
            {"input_size": 64},
            r"takes images of 32×32 \(height×width\), but anchor_generator.input_size is \(64, 64\)",
        ),
    ],
)
def test_anchors_that_do_not_fit_the_program(saved_ssd, anchors, sentence):
    generator = OBJECT_REGISTRY.build({**SSD_ANCHORS, **anchors})
    with pytest.raises(BuildError, match=sentence):
        SSDIrInfer(HbirModule(saved_ssd[0]), SSDDecoder(), generator)


def test_a_decoder_of_another_detector_is_refused(saved_ssd):
    with pytest.raises(BuildError, match="the program's class outputs have .* no number of classes for"):
        RetinaNetIrInfer(HbirModule(saved_ssd[0]), RetinaDecoder(), AnchorGenerator((8, 16, 32)))
    with pytest.raises(BuildError, match="RetinaDecoder: the head has a background class, .*; take SSDDecoder"):
        SSDIrInfer(HbirModule(saved_ssd[0]), RetinaDecoder(), OBJECT_REGISTRY.build(SSD_ANCHORS))


def test_outputs_of_another_kind_are_refused(saved):
    network = HbirModule(saved[0])
    loaded = network.executor.program
    other = replace(loaded, outputs=tuple(replace(port, name=f"y{i}") for i, port in enumerate(loaded.outputs)))
    network.executor.program = other
    with pytest.raises(BuildError, match="FCOSIrInfer: the program 't' has the outputs y0, y1, .*; expected cls_"):
        FCOSIrInfer(network, FCOSDecoder())


def test_a_predictor_may_have_a_program_as_its_model(saved, tiny_config):
    config = {
        **tiny_config,
        "num_classes": 2,
        "hbir_infer_model": {
            "type": "FCOSIrInfer",
            "ir_model": {"type": "HbirModule", "model_path": str(saved[0])},
            "post_process": {"type": "FCOSDecoder", "rescale": False},
        },
    }
    config["val_data_loader"]["dataset"]["size"] = 32
    config["int_infer_predictor"] = {"type": "Predictor", "model": config["hbir_infer_model"]}
    config["val_metrics"] = {"type": "CountObjects"}
    found = predict_stage(Run(config), "int_infer")
    assert (found["mAP"], found["images"]) == (1.0, 4)
    assert "val_loss" not in found


def test_a_checkpoint_is_lowered_into_the_place_of_its_program(saved, tiny_config):
    tiny_config["stage_checkpoint"] = "last"
    for name in ("float", "calibration"):
        run_stage(Run(tiny_config), name)
    run = Run(tiny_config)
    model = FCOSIrInfer(HbirModule(saved[0]), FCOSDecoder())
    restore(run, "int_infer", model, run.checkpoint("calibration"))
    assert [port.name for port in model.network.executor.program.outputs] == ["cls_logits_s1"]


@OBJECT_REGISTRY.register
class CountObjects:
    """Stands for a metric: the share of images that were looked at."""

    def bind(self, dataset):
        self.expected = len(dataset)

    def reset(self):
        self.images = 0

    def update(self, batch, detections):
        self.images += len(detections)

    def compute(self):
        return {"mAP": self.images / self.expected}
