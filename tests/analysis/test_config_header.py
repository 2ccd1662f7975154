"""Tables of config headers: one form, and a sentence for every other."""

from pathlib import Path

import pytest

from hatlite.analysis.config_header import read_header
from hatlite.errors import ConfigError

STAGES = ("float", "calibration", "qat", "int_infer")
TWO = """
| stage     | bayes-sim mAP | AP50   | seconds | tidl mAP | AP50   |
| --------- | ------------- | ------ | ------- | -------- | ------ |
| float     | 0.5           | 0.8    | 1900    |          |        |
| int_infer | 0.4825        | 0.7912 | 40      | 0.4701   | –      |
"""


def read(folder: Path, table: str, *, march: str = "bayes-sim") -> dict:
    file = folder / "config.py"
    file.write_text(f'"""A config.\n\nMeasured:\n{table}\nAnd text | with bars.\n"""\n\ntask_name = "x"\n')
    return read_header(file, march, STAGES)


def test_a_march_holds_until_the_next_and_float_knows_none(tmp_path: Path) -> None:
    assert read(tmp_path, TWO) == {
        "bayes-sim": {"float": {"mAP": 0.5, "AP50": 0.8}, "int_infer": {"mAP": 0.4825, "AP50": 0.7912}},
        "tidl": {"float": {"mAP": 0.5, "AP50": 0.8}, "int_infer": {"mAP": 0.4701}},
        "gti5801": {"float": {"mAP": 0.5, "AP50": 0.8}},
    }


def test_a_table_that_names_no_march_is_of_the_configs_own(tmp_path: Path) -> None:
    table = "| stage | mAP | AP50 | AP50 against float |\n|---|---|---|---|\n| qat | 0.25 | | -0.3 |\n"
    assert read(tmp_path, table, march="tidl") == {"tidl": {"qat": {"mAP": 0.25}}}


def test_without_a_table_nothing_was_measured(tmp_path: Path) -> None:
    assert read(tmp_path, "| lr | AP50 |\n|---|---|\n| 0.1 | 0.5 |\n") == {}
    (tmp_path / "bare.py").write_text("# a config without a docstring\ntask_name = 'x'\n")
    assert read_header(tmp_path / "bare.py", "bayes-sim", STAGES) == {}
    (tmp_path / "empty.py").write_text("")
    assert read_header(tmp_path / "empty.py", "bayes-sim", STAGES) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| 0.7912 |", "| 79.12 |", ":8: AP50 of stage 'int_infer' is '79.12'; expected a number in 0…1, or nothing."),
        ("| 0.5  ", "| half", ":7: bayes-sim mAP of stage 'float' is 'half'; expected a number in 0…1, or nothing."),
        ("| 40      ", "", ":8: this row has 5 cells and the table 6 columns."),
        ("| int_infer", "| int_infr", ":8: the row is called 'int_infr'; expected a stage of the config: float, cal"),
        ("| int_infer", "| int_infr", "Did you mean 'int_infer'?"),
        ("| int_infer", "| float", ":8: stage 'float' stands at line 7 already."),
        ("| tidl mAP", "| tild mAP", ":5: column 'tild mAP': march is 'tild', which is not registered."),
        ("| tidl mAP", "| tild mAP", "Did you mean 'tidl'?"),
        ("| tidl mAP", "| tidl AP5O", ":5: column 'tidl AP5O' names a march and none of mAP, AP50, AP75."),
        ("| tidl mAP", "| mAP", ":5: mAP on bayes-sim has two columns."),
        (
            "| 1900    |          |",
            "| 1900    | 0.51     |",
            "'float' has mAP 0.5 and, on tidl, 0.51; it knows no march",
        ),
        ("| int_infer", "\n| int_infer", ":9: stage 'int_infer' stands apart from the table of line 5; join them."),
        ("| int_infer", "int_infr", ":8: the row is called 'int_infr'; expected"),
        ("| int_infer", "| stage", ":8: a second table of stages; the first stands at line 5. Keep one."),
    ],
)
def test_another_form_is_told_with_file_and_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in TWO
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, TWO.replace(old, new, 1))
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'config.py'}:")
