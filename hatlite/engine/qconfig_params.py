"""What ``qat_mode`` and ``qconfig_params`` of a pipeline of converters say, in the words of a :class:`QConfig`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hatlite.errors import ConfigError
from hatlite.quantization import QConfig
from hatlite.registry import nearest

__all__ = ["QAT_MODES", "check_params", "check_qat_mode", "run_qat_mode", "with_params"]

QAT_MODES = {"fuse_bn": "freeze", "with_bn": "train"}
"""Mode → ``QConfig.bn``. Batch norms are folded into the integers in both; ``with_bn`` lets their statistics move."""

_KEYS = (
    "activation_calibration_observer",
    "activation_calibration_qkwargs",
    "activation_qat_qkwargs",
    "weight_calibration_observer",
    "weight_qat_qkwargs",
)


def check_qat_mode(qat_mode: str | None) -> None:
    """Refuse a mode that has no counterpart.

    Raises:
        ConfigError: The mode is unknown, or ``with_bn_reverse_fold``.
    """
    if qat_mode is None or qat_mode in QAT_MODES:
        return
    if qat_mode == "with_bn_reverse_fold":
        raise ConfigError(
            "qat_mode='with_bn_reverse_fold' has no counterpart: integers are always folded with the statistics of the"
            " last refresh; use 'with_bn', whose statistics move, or 'fuse_bn'."
        )
    known = [*QAT_MODES]
    raise ConfigError(f"qat_mode is {qat_mode!r}; expected one of {', '.join(known)}.{nearest(str(qat_mode), known)}")


def check_params(params: Mapping[str, Any]) -> None:
    """Refuse what no :class:`QConfig` says.

    Raises:
        ConfigError: A key is unknown, or a value asks for something that hatlite does not compute.
    """
    for key in params:
        if key not in _KEYS:
            raise ConfigError(
                f"qconfig_params has no key {key!r}; it takes {', '.join(_KEYS)}.{nearest(key, list(_KEYS))}"
            )
    weight = params.get("weight_calibration_observer", "min_max")
    if weight != "min_max":
        raise ConfigError(
            f"qconfig_params['weight_calibration_observer'] is {weight!r}; the scales of weights come from"
            " their largest magnitudes, which is 'min_max'."
        )
    _check_averaging(
        params,
        "activation_qat_qkwargs",
        0,
        "scales of activations stay as calibration fixed them; to move them on write"
        " qconfig=dict(type='QConfig', ranges='train'), or activation=dict(learn=True)",
    )
    _check_averaging(params, "weight_qat_qkwargs", 1, "scales of weights always follow the weights")


def _check_averaging(params: Mapping[str, Any], key: str, only: int, reason: str) -> None:
    for name, value in (params.get(key) or {}).items():
        if name != "averaging_constant" or value != only:
            raise ConfigError(
                f"qconfig_params[{key!r}] has {name}={value!r}; expected averaging_constant={only}, for {reason}."
            )


def with_params(qconfig: QConfig, qat_mode: str | None, params: Mapping[str, Any]) -> QConfig:
    """Return `qconfig` as a pipeline changes it.

    Args:
        qconfig: Of the config.
        qat_mode: A key of ``QAT_MODES``, or None for what `qconfig` says.
        params: That :func:`check_params` found right; observers replace the one of ``qconfig.activation``.

    Raises:
        ConfigError: Parameters of an observer that is not named.
        QuantizationError: The observer or one of its parameters is unknown.
    """
    changes: dict[str, Any] = {}
    if qat_mode is not None:
        changes["bn"] = QAT_MODES[qat_mode]
    observer = params.get("activation_calibration_observer")
    settings = params.get("activation_calibration_qkwargs") or {}
    if settings and observer is None:
        raise ConfigError(
            "qconfig_params has activation_calibration_qkwargs, but no activation_calibration_observer for them."
        )
    if observer is not None:
        changes["activation"] = {**qconfig.activation, "observer": {"name": observer, **settings}}
    return replace(qconfig, **changes) if changes else qconfig


def run_qat_mode(config: Mapping[str, Any]) -> str | None:
    """Return the ``qat_mode`` that the pipelines of `config` name; None where none does.

    Raises:
        ConfigError: They name different ones; the graph would have other entries from one stage to the next.
    """
    found = {mode: place for place, mode in _qat_modes(config)}
    if len(found) > 1:
        listed = " and ".join(f"{mode!r} ({place})" for mode, place in found.items())
        raise ConfigError(f"The pipelines of one config name different qat_mode: {listed}; give all of them one.")
    return next(iter(found), None)


def _qat_modes(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, entry in config.items():
        inner = f"config[{key!r}]['model_convert_pipeline']"
        nested = entry.get("model_convert_pipeline") if isinstance(entry, Mapping) else None
        for place, pipeline in ((f"config[{key!r}]", entry), (inner, nested)):
            if isinstance(pipeline, Mapping) and "converters" in pipeline and pipeline.get("qat_mode") is not None:
                check_qat_mode(pipeline["qat_mode"])
                yield place, pipeline["qat_mode"]
