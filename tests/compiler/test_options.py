"""Choices that do not exist are refused."""

from typing import Any

import pytest

from hatlite.compiler import CompilerOptions
from hatlite.errors import ConfigError


@pytest.mark.parametrize("level", [-1, 4, True, "2"])
def test_an_unknown_level_is_refused(level: Any) -> None:
    with pytest.raises(ConfigError, match=r"^opt is .*; expected one of 0, 1, 2, 3\.$"):
        CompilerOptions(level)
