"""A chip model beside the network that it was made of, on pictures that each side prepares itself."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from gnetdet_programs import changed

from hatlite import program
from hatlite.engine import Run, chip_check, verify_chip
from hatlite.engine.chip_check import compare_chip
from hatlite.engine.converters import lower_detector
from hatlite.engine.parts import quantize_random
from hatlite.errors import ConfigError, DataNotFoundError
from hatlite.registry import OBJECT_REGISTRY

SIDE = 28
MODEL = {
    "type": "GNetDet",
    "backbone": {"type": "GNet", "input_size": SIDE, "widths": [[8], [8]]},
    "head": {"type": "GNetHead", "num_classes": 2},
    "post_process": {"type": "GridDecoder"},
}
XML = (
    "<annotation><filename>{0}</filename><size><width>40</width><height>30</height></size><object><name>a</name>"
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object></annotation>"
)


@pytest.fixture
def pictures(tmp_path):
    """The folder of a VOC data set of three pictures of noise."""
    rng, root = np.random.default_rng(0), tmp_path / "voc"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in ("1", "2", "3"):
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), rng.integers(0, 256, (30, 40, 3), np.uint8))
        (root / "Annotations" / f"{name}.xml").write_text(XML.format(f"{name}.jpg"))
    (root / "ImageSets" / "Main" / "test.txt").write_text("1\n2\n3\n")
    return root


@pytest.fixture
def run(tmp_path, pictures, monkeypatch):
    """A run with the program of a network of random weights, which stands for its checkpoint."""
    transforms = [
        {"type": "Resize", "img_scale": (SIDE, SIDE), "keep_ratio": False},
        {"type": "ToTensor", "image_format": "BGR"},
        {"type": "QuantizePixels", "bits": 5},
    ]
    dataset = {"type": "VOCFromImage", "data_path": str(pictures), "split": "test", "transforms": transforms}
    loader = {
        "type": torch.utils.data.DataLoader,
        "dataset": {**dataset, "classes": ["a", "b"], "allow_absent_classes": True},
        "batch_size": 2,
    }
    config = {"task_name": "t", "model": MODEL, "march": "gti5801", "num_classes": 2, "val_data_loader": loader}
    stages = [{"name": "qat_31", "kind": "qat"}, {"name": "int_infer", "kind": "int_infer", "starts_from": "qat_31"}]
    run = Run({**config, "stages": stages, "ckpt_dir": str(tmp_path / "run")})
    torch.manual_seed(0)
    model = OBJECT_REGISTRY.build(MODEL)
    quantize_random(run, model)
    monkeypatch.setattr(chip_check, "quantized_network", lambda *asked: model.network)
    lowered = lower_detector(run, model)
    program.save(replace(lowered, metadata={**lowered.metadata, "image_format": "BGR"}), run.program())
    return run


def test_the_model_is_equal_on_all_pictures_or_on_the_first(run):
    report = verify_chip(run, run.program())
    cells = 14 * 14 * 12
    assert report.passed and report.images == 3
    assert report.compared == {"pixels": 3 * SIDE * SIDE * 3, "integers": 3 * cells, "reals": 3 * cells}
    assert report.text() == (
        f"{run.program()} and the network that was trained: 3 images, 7,056 pixels, 7,056 integers of the output and"
        " 7,056 real outputs compared, 0 differ."
    )
    assert [verify_chip(run, run.program(), count).images for count in (1, 2, 9)] == [1, 2, 3]


def test_other_weights_are_seen(run):
    loaded = program.load(run.program())
    head = loaded.ops[-1]
    program.save(changed(loaded, head.name, bias=head.bias + 2**12), run.program())
    report = verify_chip(run, run.program(), 2)
    assert not report.passed and report.differing["pixels"] == 0
    assert report.differing["integers"] == report.differing["reals"] > 1000
    assert f"{2 * report.differing['integers']:,} differ: {report.differing['integers']:,} int" in report.text()


def test_a_gain_that_was_lost_is_seen_in_real_outputs_alone(run):
    loaded = program.load(run.program())
    port = replace(loaded.outputs[0], scale=np.asarray(loaded.outputs[0].scale) * 1.25)
    program.save(replace(loaded, outputs=(port,)), run.program())
    differing = verify_chip(run, run.program(), 1).differing
    assert differing["pixels"] == differing["integers"] == 0 < differing["reals"]


def test_pixels_in_another_order_are_seen(run):
    loaded = program.load(run.program())
    program.save(replace(loaded, metadata={**loaded.metadata, "image_format": "RGB"}), run.program())
    assert verify_chip(run, run.program(), 1).differing["pixels"] > 1000


def test_a_network_of_another_size_differs_everywhere(run):
    graph = chip_check.quantized_network(run, None, None)
    report = compare_chip(run.program(), graph, [(np.zeros((30, 40, 3), np.uint8), torch.zeros(1, 3, 56, 56))])
    assert report.differing == report.compared


@pytest.mark.parametrize(("given", "expected"), [(None, []), ("a.hbir", []), ("q.pth.tar", ["q.pth.tar"])])
def test_a_checkpoint_is_the_one_that_was_converted(run, monkeypatch, given, expected):
    asked, graph = [], chip_check.quantized_network(run, None, None)
    monkeypatch.setattr(
        chip_check, "quantized_network", lambda run, stage, own: asked.append((stage.name, own)) or graph
    )
    assert verify_chip(run, run.program(), 1, given).passed
    assert asked == [("int_infer", Path(*expected) if expected else None)]


def test_without_pictures_there_is_nothing_to_compare(run):
    run.config["val_data_loader"]["dataset"]["data_path"] = "nowhere"
    with pytest.raises(DataNotFoundError, match="'nowhere', which does not exist here"):
        verify_chip(run, run.program())
    run.config["val_data_loader"]["dataset"] = {"type": "TinyDataset"}
    with pytest.raises(ConfigError, match=r"\['dataset'\] is a TinyDataset, which has no method load\(index\) that gi"):
        verify_chip(run, run.program())
    del run.config["val_data_loader"]
    with pytest.raises(ConfigError, match="val_data_loader'. is missing, on whose pictures a chip model is compared"):
        verify_chip(run, run.program())
