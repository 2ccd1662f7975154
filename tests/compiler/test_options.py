"""Choices that do not exist are refused."""

from typing import Any

import pytest

from hatlite.compiler import CompilerOptions
from hatlite.errors import ConfigError


@pytest.mark.parametrize("level", [-1, 4, True, "2"])
def test_an_unknown_level_is_refused(level: Any) -> None:
    with pytest.raises(ConfigError, match=r"^opt is .*; expected one of 0, 1, 2, 3\.$"):
        CompilerOptions(level)


@pytest.mark.parametrize("level", [3, "3", "O3", "o3"])
def test_a_level_may_be_written_in_several_ways(level: Any) -> None:
    assert CompilerOptions.parse(level) == CompilerOptions(3)


@pytest.mark.parametrize(
    ("level", "said"), [("fast", "opt is 'fast'; expected one of 0, 1, 2, 3, or O0 to O3"), ("O4", "opt is 4")]
)
def test_a_level_that_is_none_is_refused(level: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        CompilerOptions.parse(level)
