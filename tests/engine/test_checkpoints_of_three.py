"""Checkpoints of float, calibration and qat load into one another: to train from, and to look at."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from hatlite.engine import Run, export_stage, predict_stage, run_stage
from hatlite.engine.checkpoint import deployed_weights, load_checkpoint
from hatlite.engine.kinds import begin
from hatlite.engine.parts import build_loop
from hatlite.errors import CheckpointError

STAGES = ("float", "calibration", "qat")
SITES = "network.sites."


def config_of(folder: Path, template: dict[str, Any], **more: Any) -> dict[str, Any]:
    return copy.deepcopy(template) | {"ckpt_dir": str(folder), **more}


@pytest.fixture
def three(tiny_config: dict[str, Any]) -> Run:
    """A run whose three stages are done, with biases that calibration has corrected and batch norms that qat moved."""
    tiny_config["calibration_trainer"]["bias_correction"] = {"rate": 0.5}
    tiny_config["qconfig"] = {"type": "QConfig", "bn": "train"}
    run = Run(tiny_config)
    for stage in STAGES:
        run_stage(run, stage)
    return run


def pipeline_of(stage: str, file: Path) -> dict[str, Any]:
    load = {"type": "LoadCheckpoint", "checkpoint_path": str(file)}
    converters = {
        "float": [load],
        "calibration": [load, {"type": "Float2Calibration"}],
        "qat": [{"type": "Float2QAT"}, load],
    }
    return {"type": "ModelConvertPipeline", "converters": converters[stage]}


def test_each_stage_trains_from_the_checkpoint_of_each(three: Run, tmp_path: Path) -> None:
    for source in STAGES:
        theirs = deployed_weights(load_checkpoint(three.checkpoint(source)))
        for stage in STAGES:
            config = config_of(tmp_path / f"{stage}-from-{source}", three.config)
            trainer = config[f"{stage}_trainer"]
            trainer["model_convert_pipeline"] = pipeline_of(stage, three.checkpoint(source))
            run = Run(config)
            loop = build_loop(run, run.stage(stage))
            begin(run, run.stage(stage), loop.model, loop)
            ours = loop.model.state_dict()
            assert all(torch.equal(ours[name], theirs[name]) for name in ours if not name.startswith(SITES))
            scales = [name for name in ours if name.endswith(".scale")]
            assert len(scales) == {"float": 0, "calibration": 3, "qat": 3}[stage]
            if stage == "qat":
                assert loop.model.network.mode == "integer"
                assert source == "float" or all(torch.equal(ours[name], theirs[name]) for name in scales)
            row = run_stage(run, stage)
            assert 0 < row["mAP"] < 1
            left = load_checkpoint(run.checkpoint(stage))["state_dict"]
            assert set(left) == set(load_checkpoint(three.checkpoint(stage))["state_dict"])
            assert all(bool(value.isfinite().all()) for value in left.values())


def test_each_stage_is_looked_at_with_the_checkpoint_of_each(three: Run) -> None:
    own = {stage: predict_stage(three, stage)["mAP"] for stage in STAGES}
    for stage in STAGES:
        for source in STAGES:
            file = three.checkpoint(source)
            if source == "float" != stage:
                continue
            found = predict_stage(three, stage, file)["mAP"]
            assert found == own[source] if "float" not in (stage, source) or stage == source else 0 < found < 1


@pytest.mark.parametrize("stage", ["calibration", "qat"])
def test_a_float_checkpoint_is_told_what_it_lacks(three: Run, stage: str) -> None:
    file = three.checkpoint("float")
    said = f"{file} is of stage 'float' and has no scales, which stage {stage!r} needs: it rounds activations."
    with pytest.raises(CheckpointError, match=re.escape(said)) as told:
        predict_stage(three, stage, file)
    assert str(told.value).endswith(
        "\n  Run this to find them: python tools/train.py --stage calibration --config CONFIG"
    )


def test_pretrained_may_name_any_of_them(three: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for source in STAGES:
        config = config_of(tmp_path / source, three.config)
        config["float_trainer"]["model"]["pretrained"] = str(three.checkpoint(source))
        run = Run(config)
        loop = build_loop(run, run.stage("float"))
        with caplog.at_level("INFO", "hatlite"):
            begin(run, run.stage("float"), loop.model, loop)
        theirs = deployed_weights(load_checkpoint(three.checkpoint(source)))
        assert all(torch.equal(value, theirs[name]) for name, value in loop.model.state_dict().items())
        told = f"{three.checkpoint(source)} is of stage {source!r}: its weights are taken, without its scales."
        assert (told in caplog.messages) == (source != "float")


def test_scales_of_another_march_are_refused(three: Run, tmp_path: Path) -> None:
    other = Run(config_of(tmp_path / "other", three.config, march="tidl"))
    file = three.checkpoint("qat")
    for look in (lambda: predict_stage(other, "qat", file), lambda: export_stage(other, file)):
        with pytest.raises(
            CheckpointError,
            match="was quantised for march 'bayes-sim', and task 'tiny', stage '[a-z_]*' has 'tidl'; give --op",
        ):
            look()
    assert predict_stage(other, "float", file)["mAP"] == predict_stage(three, "float", file)["mAP"]
