"""What is quantised how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from hatlite.errors import QuantizationError
from hatlite.quantization.observer import observer
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["ActivationRule", "QConfig"]

_DTYPES = ("int8", "int16")


@dataclass(frozen=True)
class ActivationRule:
    """Type and observer of activations.

    Attributes:
        dtype: ``int8`` (``uint8`` where the value is provably ≥ 0) or ``int16``.
        observer: ``min_max``, ``percentile``, ``mse``, ``kl`` or ``mix``; with parameters
            ``dict(name="percentile", percentile=99.9)``.
    """

    dtype: str = "int8"
    observer: str | Mapping[str, Any] = "mse"

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise QuantizationError(f"An activation's dtype is {self.dtype!r}; expected one of {', '.join(_DTYPES)}.")
        observer(self.observer)


@OBJECT_REGISTRY.register
@dataclass(frozen=True)
class QConfig:
    """Quantisation of a whole network. Weights are int8 per output channel, by their largest magnitude.

    Attributes:
        activation: Rule of every activation, ``dict(dtype="int8", observer="mse")``.
        rules: Exceptions by module path pattern, ``{"neck.*": dict(dtype="int16")}``; the first that matches wins. A
            pattern that matches no module is an error when the network is prepared.
    """

    activation: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mapping in (self.activation, *self.rules.values()):
            self._rule(mapping)

    def _rule(self, mapping: Mapping[str, Any]) -> ActivationRule:
        try:
            return ActivationRule(**{**dict(self.activation), **dict(mapping)})
        except TypeError:
            wrong = sorted(set({**self.activation, **mapping}) - {"dtype", "observer"})
            raise QuantizationError(f"qconfig: unknown keys {', '.join(wrong)}; expected dtype, observer.") from None

    def of(self, path: str) -> ActivationRule:
        """Return the rule of the module at `path`."""
        for pattern, mapping in self.rules.items():
            if fnmatchcase(path, pattern):
                return self._rule(mapping)
        return self._rule({})

    def check_matched(self, paths: list[str]) -> None:
        """Raise when a pattern matches none of `paths`."""
        for pattern in self.rules:
            if not any(fnmatchcase(path, pattern) for path in paths):
                raise QuantizationError(
                    f"config['qconfig']['rules'][{pattern!r}] matches no module of the network;"
                    f" write a pattern of module paths, such as 'neck.*', or remove it.{nearest(pattern, paths)}"
                )
