"""Modules that need a package which plain hatlite does not install, loaded by name when they are asked for."""

import importlib
from types import ModuleType

from hatlite.errors import MissingExtraError

__all__ = ["import_extra"]


def import_extra(module: str, extra: str) -> ModuleType:
    """Return `module` of hatlite, which imports packages of the extra `extra`.

    Raises:
        MissingExtraError: One of those packages is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("hatlite"):
            raise
        raise MissingExtraError(
            f"{module} needs the package {missing.name}, which is not installed: pip install hatlite[{extra}]"
        ) from missing
