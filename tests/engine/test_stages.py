import json

from hatlite.engine import Run, run_stage


def test_all_stages_follow_one_another(tiny_config):
    run = Run(tiny_config)
    for stage in ("float", "calibration", "qat", "int_infer"):
        run_stage(run, stage)
    rows = json.loads((run.folder / "stages.json").read_text())["stages"]
    assert list(rows) == ["float", "calibration", "qat", "int_infer"]
    assert rows["int_infer"]["mAP"] == rows["qat"]["mAP"]
    assert rows["int_infer"]["passed"] is True
    assert rows["int_infer"]["gate"] == "equal to qat"
    assert run.program().is_file()
