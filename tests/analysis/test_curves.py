import json

import numpy as np
import pytest

from hatlite.analysis import describe_series, draw_curves, find_series
from hatlite.analysis.curves import default_keys, named, read_scalars, smoothed
from hatlite.analysis.lettering import Lettering
from hatlite.analysis.plots import CAPITAL
from hatlite.errors import ConfigError, DataError, DataNotFoundError

ROWS = [
    {"step": 10, "epoch": 0.5, "lr": 0.1, "loss/cls": 2.0, "loss/reg": 1.0},
    {"step": 20, "epoch": 1.0, "lr": 0.05, "loss/cls": 1.0, "loss/reg": None},
    {"step": 20, "epoch": 1.0, "val/mAP": 0.5},
    {"step": 40, "epoch": 2.0, "lr": 0.01, "loss/cls": 0.5, "loss/reg": 0.25},
    {"step": 40, "epoch": 2.0, "val/mAP": 0.25},
]


@pytest.fixture
def write(tmp_path):
    """Write rows as a stage of a run and return the run's folder."""

    def write(run="a", stage="float", rows=ROWS):
        folder = tmp_path / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stage}-scalars.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return folder

    return write


def test_a_key_becomes_points_and_loss_is_the_sum(write):
    (series,) = find_series([write()])
    assert [part.tolist() for part in series.points("loss")] == [[0.5, 2.0], [3.0, 0.75]]
    assert [part.tolist() for part in series.points("loss/cls", "step")] == [[10, 20, 40], [2.0, 1.0, 0.5]]
    assert series.points("val/AP75")[0].shape == (0,)
    assert default_keys([series]) == ["loss", "loss/cls", "loss/reg", "lr", "val/mAP"]


def test_runs_and_stages_are_found_and_told_apart(write):
    runs = [write("a", "float"), write("b", "float")]
    write("b", "qat")
    assert named(find_series(runs)) == ["a float", "b float", "b qat"]
    assert named(find_series(runs, ["float"])) == ["a", "b"]
    assert named(find_series(runs[1:])) == ["float", "qat"]
    assert [one.stage for one in find_series([runs[1] / "qat-scalars.jsonl"])] == ["qat"]


def test_folders_of_one_name_are_told_apart_by_as_much_of_their_paths_as_it_takes(write):
    runs = [write("A/ssd"), write("B/ssd"), write("B/fcos")]
    assert named(find_series(runs)) == ["A/ssd", "B/ssd", "fcos"]
    assert named(find_series([*runs[:2], write("C/A/ssd")])) == [f"{runs[0].parents[1].name}/A/ssd", "B/ssd", "C/A/ssd"]
    write("B/ssd", "qat")
    assert named(find_series(runs[:2])) == ["A/ssd float", "B/ssd float", "B/ssd qat"]
    with pytest.raises(ConfigError, match="No value 'mAP' was written by A/ssd, B/ssd;"):
        draw_curves(find_series(runs[:2]), ["mAP"])


def test_a_plot_for_each_key_two_beside_one_another(write):
    series = find_series([write()])
    legend = 2 * Lettering(CAPITAL).height
    assert draw_curves(series).shape == (legend + 3 * 540 + 4 * 15, 2 * 960 + 3 * 15, 3)
    alone = draw_curves(series, ["val/mAP"])
    assert alone.shape == (legend + 540 + 2 * 15, 960 + 2 * 15, 3)
    assert not np.array_equal(draw_curves(series, ["loss"]), draw_curves(series, ["loss"], smooth=0.9))
    assert np.array_equal(alone, draw_curves(series, ["val/mAP"], smooth=0.9))  # only losses are noisy


def test_smoothing_starts_without_a_pull_to_zero():
    assert smoothed(np.array([4.0, 4, 4]), 0.9) == pytest.approx([4, 4, 4])
    assert smoothed(np.array([1.0, 4]), 0.5) == pytest.approx([1, 3])  # (1/4 + 4/2) / (1/4 + 1/2)


def test_a_line_says_how_far_each_came(write):
    said = describe_series(find_series([write()]))
    assert said == ["float: epoch 2, step 40, last loss 0.7500, best mAP 0.5000 at epoch 1"]
    only_measured = find_series([write("b", "calibration", ROWS[2:3])])
    assert describe_series(only_measured, ["c"]) == ["c: epoch 1, step 20, best mAP 0.5000 at epoch 1"]


def test_a_last_line_that_is_being_written_is_passed_over(write):
    path = write() / "float-scalars.jsonl"
    path.write_text(path.read_text() + '{"step": 50, "ep')
    assert len(read_scalars(path)) == len(ROWS)


def test_a_damaged_line_is_told(write):
    path = write() / "float-scalars.jsonl"
    good = path.read_text()
    for bad in ('{"lr": 1}', "[1]", "lr 1", '{"step": 1, "epoch": 1, "lr": "high"}'):
        path.write_text(f"{bad}\n{good}")
        with pytest.raises(
            DataError, match=r"float-scalars\.jsonl, line 1: .* is no JSON object of numbers with a step"
        ):
            read_scalars(path)


def test_missing_files_are_told(write, tmp_path):
    with pytest.raises(DataNotFoundError, match=r"There is no .*x; name the folder of a run \(ckpt_dir\), or a file"):
        find_series([tmp_path / "x"])
    with pytest.raises(DataNotFoundError, match=r" holds no file \*-scalars\.jsonl; a stage writes it while it trains"):
        find_series([tmp_path])
    with pytest.raises(DataNotFoundError, match=r"no file flaot-scalars\.jsonl; of its stages float wrote one") as told:
        find_series([write()], ["flaot"])
    assert "Did you mean 'float'?" in str(told.value)
    with pytest.raises(DataNotFoundError, match="There is no file .*; a stage writes it while it trains"):
        read_scalars(tmp_path / "gone-scalars.jsonl")
    with pytest.raises(DataError, match=r"float-scalars\.jsonl has no line yet"):
        find_series([write(rows=[])])


def test_wrong_choices_are_told(write):
    series = find_series([write()])
    with pytest.raises(
        ConfigError, match=r"No value 'val/map' was written by a; there are loss, lr, .*val/mAP"
    ) as told:
        draw_curves(series, ["val/map"])
    assert "Did you mean 'val/mAP'?" in str(told.value)
    with pytest.raises(ConfigError, match="The legend has a, b for float; give 1 names, one for each"):
        draw_curves(series, names=["a", "b"])
    with pytest.raises(ConfigError, match="smooth is 1.0; expected a number from 0 up to, but not including, 1"):
        draw_curves(series, smooth=1.0)
