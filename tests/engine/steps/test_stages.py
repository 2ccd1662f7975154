import re

import pytest

from hatlite.engine.run import DEFAULT_STAGES, Run
from hatlite.engine.steps.stages import KINDS, note_on_fusing, stage_of_step
from hatlite.errors import StageError


def test_every_step_is_a_stage(step_run):
    names = [stage_of_step(step_run, step).name for step in KINDS]
    assert names == ["float", "qat", "calibration", "qat_activations", "qat_31"]


def test_steps_that_are_none_are_told(step_run, tmp_path):
    with pytest.raises(StageError, match=re.escape("There is no step 5; the steps are 1, 2, 2 with --cal, 3 and 4.")):
        stage_of_step(step_run, 5)
    other = Run({"task_name": "fcos", "ckpt_dir": str(tmp_path)}, "fcos.py")
    assert other.stages == DEFAULT_STAGES
    with pytest.raises(StageError) as told:
        stage_of_step(other, "cal")
    assert str(told.value) == (
        "--step 2 --cal is a stage of kind 'calibration_weights', and fcos.py lists none; it has float (float),"
        " calibration (calibration), qat (qat), int_infer (int_infer). Its stages run by tools/train.py --stage."
    )


def test_batch_norms_are_folded_by_step_2():
    assert note_on_fusing(1).startswith("Nothing is written: step 2 folds the batch norms of step 1")
    assert note_on_fusing(2) is None
    with pytest.raises(StageError, match="--fuse-bn is of steps 1 and 2, and --step is 3; its network has no batch"):
        note_on_fusing(3)
