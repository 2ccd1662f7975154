"""What the user may choose. What the machine fixes stands in :mod:`hatlite.march`."""

from dataclasses import dataclass

from hatlite.errors import ConfigError

__all__ = ["OPT_LEVELS", "CompilerOptions"]

OPT_LEVELS = (0, 1, 2, 3)
_KNOWN = ", ".join(map(str, OPT_LEVELS))


@dataclass(frozen=True)
class CompilerOptions:
    """Choices of one compilation.

    Attributes:
        opt_level: How hard to look for a fast schedule, 0…3. Until tiling and scheduling exist all four mean the same.

    Raises:
        ConfigError: The level does not exist.
    """

    opt_level: int = 2

    def __post_init__(self) -> None:
        if self.opt_level not in OPT_LEVELS or isinstance(self.opt_level, bool):
            raise ConfigError(f"opt is {self.opt_level!r}; expected one of {_KNOWN}.", path="opt")

    @classmethod
    def parse(cls, level: int | str) -> "CompilerOptions":
        """Return the options of a level as it is typed: 3, ``"3"`` or ``"O3"``.

        Raises:
            ConfigError: The level does not exist.
        """
        digits = str(level).upper().removeprefix("O")
        if not digits.isdecimal():
            raise ConfigError(f"opt is {level!r}; expected one of {_KNOWN}, or O0 to O3.", path="opt")
        return cls(int(digits))

    @property
    def remark(self) -> str:
        """What a report says about the level."""
        return f"opt {self.opt_level}: accepted; what the levels change, and the .hbm file, come with a later compiler."
