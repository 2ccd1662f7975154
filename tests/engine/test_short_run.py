from pathlib import Path

import pytest
import torch

from hatlite.engine import Run, cut_short, run_stage
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.errors import ConfigError, StageError


def test_every_stage_runs_on_two_batches_in_a_folder_of_its_own(tiny_config, tmp_path):
    tiny_config["data_loader"]["dataset"]["length"] = 100
    tiny_config["float_trainer"]["num_epochs"] = 50
    tiny_config["qat_trainer"] |= {"stop_by": "step", "num_steps": 70}
    folder = Path(tiny_config["ckpt_dir"])
    for stage, steps in (("float", 2), ("calibration", None), ("qat", 2), ("int_infer", None)):
        run = Run(tiny_config)
        cut_short(run)
        assert run_stage(run, stage)["images"] == 4
        if steps is not None:
            state = load_checkpoint(run.checkpoint(stage, "last"))
            assert (state["step"], state["epoch"]) == (steps, 1)
    assert [path.name for path in folder.iterdir()] == ["pipeline-test"]
    assert (folder / "pipeline-test" / "tiny.hbir").is_file()


def test_loaders_are_cut_wherever_they_stand(tiny_config):
    tiny_config["data_loader"] |= {"shuffle": True, "sampler": {"type": torch.utils.data.DistributedSampler}}
    run = Run(tiny_config)
    cut_short(run)
    found = [run.config["data_loader"], run.config["float_trainer"]["callbacks"][2]["data_loader"]]
    assert [loader["sampler"] for loader in found] == [{"type": "FirstSampler", "count": 4}] * 2
    assert "shuffle" not in found[0]


def test_what_has_to_run_first_has_the_flag_too(tiny_config):
    run = Run(tiny_config, source="tiny.py")
    cut_short(run)
    with pytest.raises(StageError, match=r"--stage float --config tiny\.py --pipeline-test"):
        run_stage(run, "calibration")


def test_what_names_the_folder_of_the_run_moves_with_it(tiny_config, tmp_path):
    folder = Path(tiny_config["ckpt_dir"])
    tiny_config["float_trainer"]["callbacks"].append({"type": "Checkpoint", "save_dir": str(folder)})
    best, elsewhere = folder / "float-checkpoint-best.pth.tar", tmp_path / "elsewhere" / "a.pth.tar"
    convert = {"type": "ModelConvertPipeline", "converters": [{"type": "LoadCheckpoint", "checkpoint_path": best}]}
    tiny_config["calibration_trainer"]["model_convert_pipeline"] = convert
    tiny_config["qat_trainer"]["model_convert_pipeline"] = {
        "type": "ModelConvertPipeline",
        "converters": [{"type": "Float2QAT"}, {"type": "LoadCheckpoint", "checkpoint_path": str(elsewhere)}],
    }
    run = Run(tiny_config)
    cut_short(run)
    short = folder / "pipeline-test"
    assert run.config["float_trainer"]["callbacks"][-1]["save_dir"] == str(short)
    [load] = run.config["calibration_trainer"]["model_convert_pipeline"]["converters"]
    assert Path(load["checkpoint_path"]) == (short / best.name)
    last = run.config["qat_trainer"]["model_convert_pipeline"]["converters"][-1]
    assert last["checkpoint_path"] == str(elsewhere)


def test_a_checkpoint_that_the_run_would_not_find_is_told_here_too(tiny_config, tmp_path):
    tiny_config["float_trainer"]["callbacks"][3] = {"type": "Checkpoint", "save_dir": str(tmp_path / "other")}
    run = Run(tiny_config)
    cut_short(run)
    with pytest.raises(ConfigError, match=r"Checkpoint writes .*/pipeline-test/elsewhere/float-checkpoint-best.pth"):
        run_stage(run, "float")
    assert not run.folder.exists()
