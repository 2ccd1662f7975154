"""The exception tree."""

import inspect
import pickle

import pytest

from hatlite import errors
from hatlite.errors import BuildError, ConfigError, DataNotFoundError, HatliteError, UnknownTypeError

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, HatliteError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_prints_its_message_and_survives_pickling(cls: type[HatliteError]) -> None:
    error = cls("The file a.jpg is truncated.")
    assert str(error) == "The file a.jpg is truncated."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not HatliteError], ids=lambda cls: cls.__name__)
def test_every_error_is_also_a_built_in(cls: type[HatliteError]) -> None:
    built_in = [base for base in cls.__mro__ if base.__module__ == "builtins" and base not in (Exception, object)]
    assert any(issubclass(base, Exception) for base in built_in)


def test_the_drawing_shows_every_class() -> None:
    for cls in CLASSES:
        assert cls.__name__ in (errors.__doc__ or "")


def test_callers_may_catch_the_built_in() -> None:
    with pytest.raises(FileNotFoundError, match=r"^no such folder$"):
        raise DataNotFoundError("no such folder")
    with pytest.raises(TypeError, match=r"^refused$"):
        raise BuildError("refused")
    with pytest.raises(LookupError, match=r"^unknown$"):
        raise UnknownTypeError("unknown")


def test_attributes_stay() -> None:
    error = UnknownTypeError("m", path="config['a']", name="x", candidates=["y"])
    assert (error.path, error.name, error.candidates) == ("config['a']", "x", ("y",))


def test_one_problem_stays_itself_and_several_are_listed() -> None:
    one, two = ConfigError("first"), BuildError("second\nwith a hint")
    assert ConfigError.together([one], "config") is one
    both = ConfigError.together([one, two], "config['model']")
    assert str(both) == "2 problems in config['model']:\n- first\n- second\n  with a hint"
    assert both.problems == (one, two)


def test_an_error_without_a_message_prints_nothing() -> None:
    assert str(HatliteError()) == ""
