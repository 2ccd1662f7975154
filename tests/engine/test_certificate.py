"""int_infer leaves a certificate of its program, and the tool can repeat it."""

import json

import pytest
import torch

from hatlite.engine import Run, certify_stage, run_stage
from hatlite.errors import StageError
from hatlite.program import check_certificate, read_certificate


@pytest.fixture
def run(tiny_config):
    run = Run(tiny_config)
    for stage in ("float", "calibration", "int_infer"):
        run_stage(run, stage)
    return run


def test_it_holds_and_says_how_far_scales_moved(run):
    stated = read_certificate(run.folder / "certificate.json")
    assert check_certificate(stated, run.program()) == []
    assert [(layer["layer"], layer["scale_moved"] is not None) for layer in stated["layers"]] == [
        ("conv", True),
        ("head", True),
    ]
    page = (run.folder / "certificate.md").read_text(encoding="utf-8")
    assert page.startswith("# Certificate of tiny.hbir") and "| conv | conv2d | 4 |" in page
    (run.folder / "certificate.json").unlink()
    again = certify_stage(run)
    assert json.loads((run.folder / "certificate.json").read_text(encoding="utf-8")) == stated
    assert again.sha256 == stated["sha256"]


def test_a_program_of_other_weights_is_refused(run):
    path = run.checkpoint("calibration")
    state = torch.load(path, weights_only=True)
    for weights in (state.get("ema_state_dict", {}), state["state_dict"]):
        for name in weights:
            if name.endswith("conv.weight"):
                weights[name] = -weights[name]
    torch.save(state, path)
    with pytest.raises(
        StageError, match=r"of other weights than the checkpoint .* first 'conv'.\n  Run this first: .*"
    ):
        certify_stage(run)
