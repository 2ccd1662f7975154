"""The stages of a march without scales: rounded weights, ranges, rounded activations, the gain edit, integers."""

import json

from hatlite.engine import Run, predict_stage, run_stage

TRAINED = ("float", "qat", "calibration", "qat_activations", "qat_31")


def run_all(config, names=TRAINED):
    run = Run(config)
    return run, {name: run_stage(run, name) for name in names}


def test_each_stage_starts_where_the_one_before_ended_and_learns(chain_config):
    run, rows = run_all(chain_config)
    losses = {name: row["val_loss"] for name, row in rows.items()}
    print(losses)
    for name in TRAINED:
        assert predict_stage(run, name)["val_loss"] == rows[name]["val_loss"]
    assert json.loads((run.folder / "stages.json").read_text())["stages"].keys() == rows.keys()
