"""What the user may choose. What the machine fixes stands in :mod:`hatlite.march`."""

from dataclasses import dataclass

from hatlite.errors import ConfigError

__all__ = ["OPT_LEVELS", "CompilerOptions"]

OPT_LEVELS = (0, 1, 2, 3)


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
            known = ", ".join(map(str, OPT_LEVELS))
            raise ConfigError(f"opt is {self.opt_level!r}; expected one of {known}.", path="opt")

    @property
    def remark(self) -> str:
        """What a report says about the level."""
        return f"opt {self.opt_level}: accepted; one level exists until the compiler is there."
