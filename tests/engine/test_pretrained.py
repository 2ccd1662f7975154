import pytest
import torch

from hatlite.engine import Run, RunInfo, run_stage
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.engine.pretrained import load_pretrained
from hatlite.errors import CheckpointError
from hatlite.models.backbones.efficientnet import EfficientNet
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture
def detector(tiny_config):
    """The tiny detector with a path; it has no backbone."""
    return OBJECT_REGISTRY.build(tiny_config["model"])


def test_a_checkpoint_of_hatlite_is_where_the_float_stage_starts(tiny_config, tmp_path):
    tiny_config["stage_checkpoint"] = "last"
    run_stage(Run(tiny_config), "float")
    source = Run(tiny_config).checkpoint("float")
    tiny_config["model"]["pretrained"] = str(source)
    tiny_config["ckpt_dir"] = str(tmp_path / "second")
    tiny_config["float_trainer"]["optimizer"]["lr"] = 0.0
    run_stage(Run(tiny_config), "float")
    second = load_checkpoint(Run(tiny_config).checkpoint("float"))["state_dict"]
    deployed = load_checkpoint(source)["ema_state_dict"]
    assert torch.equal(second["network.conv.weight"], deployed["network.conv.weight"])
    source.unlink()
    tiny_config["float_trainer"]["num_epochs"] = 3
    run_stage(Run(tiny_config), "float", resume=True)  # goes on from its own checkpoint, and so do later stages
    run_stage(Run(tiny_config), "calibration")


def test_without_the_key_nothing_happens(detector):
    before = detector.network.conv.weight.clone()
    load_pretrained(detector, RunInfo())
    assert torch.equal(detector.network.conv.weight, before)


def test_a_state_dict_goes_to_the_backbone(detector, tmp_path, monkeypatch):
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pth")
    detector.pretrained = str(tmp_path / "w.pth")
    detector.network.backbone = EfficientNet(width_coefficient=0.25, depth_coefficient=0.3)
    given = []
    monkeypatch.setattr(EfficientNet, "load_torchvision", lambda self, state, path: given.append((state, path)) or [])
    load_pretrained(detector, RunInfo())
    assert given == [({"w": torch.ones(1)}, str(tmp_path / "w.pth"))]


def test_a_detector_may_know_the_files_of_a_toolkit(detector, tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pth")
    detector.pretrained = str(tmp_path / "w.pth")
    given = []
    detector.load_toolkit = lambda state, path: given.append((state, path)) or []
    load_pretrained(detector, RunInfo())
    assert given == [({"w": torch.ones(1)}, str(tmp_path / "w.pth"))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no checkpoint .*w\.pth\.\n  config\['model'\]\['pretrained'\] names it; give the path"),
        ([1, 2], r"w\.pth is neither a checkpoint of hatlite nor a state dict; save one with torch\.save"),
        ({"w": "text"}, r"w\.pth is neither a checkpoint of hatlite nor a state dict"),
        ({"w": torch.ones(1)}, r"w\.pth is a state dict, which ReLU cannot be loaded from: it has no load_torchvision"),
    ],
)
def test_a_wrong_file_is_answered_in_a_sentence(detector, tmp_path, content, message):
    if content is not None:
        torch.save(content, tmp_path / "w.pth")
    detector.network.backbone = torch.nn.ReLU()
    detector.pretrained = str(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(detector, RunInfo())


def test_a_damaged_file_is_answered_in_a_sentence(detector, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"no pickle")
    detector.pretrained = str(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth is damaged or no checkpoint"):
        load_pretrained(detector, RunInfo())
