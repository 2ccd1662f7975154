"""An engine that is wrong by one integer, cannot run, or is not there is not used."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hatlite.executor import ENGINES, Executor, check_engines
from hatlite.executor import executor as module
from hatlite.executor.kernels import float32, onednn
from hatlite.executor.self_test import check_engine, threshold_program
from hatlite.program.samples import random_program


def test_all_engines_of_this_build_run_and_agree():
    checks = check_engines()
    assert [check.engine for check in checks] == list(ENGINES)
    assert all(
        check.usable and check.compared > 100_000 for check in checks if check.engine in ("reference", "float32")
    )
    assert str(checks[0]).startswith("reference: usable; ")


def refused(monkeypatch, name, engine):
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(Engine=engine))
    return check_engine(name, name)


def test_a_multiplier_off_by_one_in_the_last_place_is_found(monkeypatch):
    """The smallest mistake that a float engine can make in its scale."""
    exact = onednn._factor
    monkeypatch.setattr(onednn, "_factor", lambda rule: np.nextafter(exact(rule).astype(np.float32), np.float32(1)))
    check = refused(monkeypatch, "one_ulp", onednn.Engine)
    assert not check.usable and check.problem is None and check.differing > 0
    assert str(check).startswith("one_ulp: not usable, ") and "of them differ" in str(check)


def test_halves_to_the_even_neighbour_are_found(monkeypatch):
    """What every float engine does unless it is told otherwise; only marches of powers of two can tell."""

    class Even(float32.Engine):
        def __init__(self, program):
            super().__init__(program)
            if program.march == "tidl" and program.name == "thresholds":
                (op,) = program.ops
                exact = self._kernels[op.name]
                half = 2.0 ** -(int(op.requantize.shift[0]) + 1)
                self._kernels[op.name] = lambda x: (
                    exact(x) if half > 0.25 else exact(x).sub_((exact(x) % 2 == 1).float())
                )

    check = refused(monkeypatch, "even", Even)
    assert not check.usable and check.problem is None and check.differing > 0


def test_an_engine_that_raises_says_why(monkeypatch):
    class Broken(float32.Engine):
        def compute(self, op, inputs, dying=()):
            raise RuntimeError("no such primitive\nand more")

    check = refused(monkeypatch, "broken", Broken)
    assert str(check) == "broken: not usable, RuntimeError: no such primitive"


def test_a_missing_engine_says_so():
    check = check_engine("nowhere", "hatlite_no_such_module")
    assert not check.usable and "No module named 'hatlite_no_such_module'" in str(check)


def test_auto_takes_the_fastest_engine_that_is_trusted(monkeypatch):
    program = random_program(1)
    ranking = [name for name in module.FASTEST_FIRST if name in ENGINES]
    assert set(ranking) == set(ENGINES) - {"cuda"} and ranking[0] == "native" and ranking[-1] == "reference"
    for count, expected in enumerate(ranking):
        refused_engines = ranking[:count]
        check = lambda name, path, no=refused_engines: SimpleNamespace(usable=name not in no)  # noqa: E731
        monkeypatch.setattr(module, "check_engine", check)
        assert Executor(program).engine == expected


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_the_threshold_image_reaches_most_levels_of_every_channel(dtype):
    program, image = threshold_program(dtype)
    levels = Executor(program, "reference").run({"img": image})["out"]
    assert all(len(np.unique(levels[..., channel])) > 200 for channel in range(levels.shape[-1]))
