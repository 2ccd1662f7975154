"""Programs are told by the names of their files."""

from pathlib import Path

import pytest
from gnetdet_programs import gnetdet_program

from hatlite import chip, program
from hatlite.engine.ir_infer import HbirModule
from hatlite.engine.program_files import is_program, load_program
from hatlite.errors import ProgramError


@pytest.mark.parametrize(
    ("name", "told"), [("a.hbir", True), ("a.bc", True), ("out.model", True), ("a.pth.tar", False)]
)
def test_names(name, told):
    assert is_program(Path(name)) is told


def test_a_chip_model_is_the_program_that_it_was_made_of(tmp_path):
    made = gnetdet_program(224)
    chip.write_chip_model(made, tmp_path / "out.model")
    program.save(made, tmp_path / "out.hbir")
    both = [program.dumps(load_program(tmp_path / name)) for name in ("out.model", "out.hbir")]
    assert both[0] == both[1]
    assert program.dumps(HbirModule(tmp_path / "out.model").executor.program) == both[0]


@pytest.mark.parametrize(("name", "kind"), [("a.hbir", ".hbir file"), ("a.model", "chip model")])
def test_a_file_of_another_kind_is_told(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ProgramError, match=rf"{name}: is not a {kind}"):
        load_program(tmp_path / name)
