import json

import pytest

from hatlite.engine.report import judge, judge_equal, read_report, table, write_report
from hatlite.errors import StageError

ROWS = {
    "float": {"mAP": 0.5, "AP50": 0.8, "AP75": 0.4, "images_per_second": 12.34, "seconds": 60.4},
    "qat": {"mAP": 0.49, "AP50": 0.8, "AP75": 0.4, **judge({"mAP": 0.49}, {"mAP": 0.5}, 0.98)},
}


def test_the_table_by_eye():
    assert table(ROWS).splitlines() == [
        "| stage | mAP    | AP50   | AP75   | images/s | seconds | difference | gate               | passed |",
        "| ----- | ------ | ------ | ------ | -------- | ------- | ---------- | ------------------ | ------ |",
        "| float | 0.5000 | 0.8000 | 0.4000 | 12.3     | 60      |            |                    |        |",
        "| qat   | 0.4900 | 0.8000 | 0.4000 |          |         | -0.0100    | mAP ≥ 98% of float | yes    |",
    ]


def test_rows_come_back_as_written(tmp_path):
    write_report(tmp_path / "run", ROWS)
    assert read_report(tmp_path / "run") == ROWS
    assert json.loads((tmp_path / "run" / "stages.json").read_text()) == {"stages": ROWS}
    assert (tmp_path / "run" / "stages.md").read_text() == table(ROWS) + "\n"
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["stages.json", "stages.md"]


def test_no_report_yet_is_empty(tmp_path):
    assert read_report(tmp_path) == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_report_is_refused(tmp_path, text):
    (tmp_path / "stages.json").write_text(text)
    with pytest.raises(StageError, match=r"stages.json is damaged \(.*\); delete it"):
        read_report(tmp_path)


@pytest.mark.parametrize(("value", "passed"), [(0.49, True), (0.4899, False), (0.6, True)])
def test_the_gate_is_a_fraction_of_float(value, passed):
    verdict = judge({"mAP": value}, {"mAP": 0.5}, 0.98)
    assert verdict["passed"] is passed
    assert verdict["difference_to_float"] == value - 0.5


def test_without_float_nothing_is_judged():
    assert judge({"mAP": 1.0}, None, 0.9) == {"difference_to_float": None, "gate": None, "passed": None}
    assert judge({"mAP": 1.0}, {"mAP": 0.5}, None) == {"difference_to_float": 0.5, "gate": None, "passed": None}


def test_equal_means_every_digit():
    rows = {"qat": ROWS["qat"]}
    assert judge_equal(dict(ROWS["qat"]), "qat", rows) == {"gate": "equal to qat", "passed": True}
    assert judge_equal({**ROWS["qat"], "AP75": 0.4001}, "qat", rows)["passed"] is False
    assert judge_equal({"mAP": ROWS["qat"]["mAP"]}, "qat", rows)["passed"] is False
    for measured, passed in ((0.5, True), (0.4999, False)):  # by a metric that has no AP50
        assert judge_equal({"mAP": measured}, "qat", {"qat": {"mAP": 0.5}})["passed"] is passed
