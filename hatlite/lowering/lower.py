"""The order of lowering: read the sites, apply one rule each, name inputs and outputs, verify."""

from collections.abc import Mapping
from typing import Any

import torch

from hatlite.errors import QuantizationError
from hatlite.lowering.rules import LOWERING_RULES
from hatlite.lowering.strides import value_strides
from hatlite.march import March
from hatlite.program import IntProgram, Operator, Port, TensorType, verify
from hatlite.quantization import FakeQuantGraph
from hatlite.quantization.sites import InputSite, Site, StandInSite

__all__ = ["assemble", "lower"]


def lower(
    graph: FakeQuantGraph,
    march: March,
    *,
    name: str = "network",
    metadata: Mapping[str, Any] | None = None,
) -> IntProgram:
    """Return the integer program of a calibrated graph, verified against `march`.

    Nothing is computed anew: weights, biases, multipliers and shifts are those that the graph's forward uses. Values
    are named after their sites.

    Args:
        graph: In integer mode, or ready for it.
        march: Whose arithmetic the program must fit.
        name: For titles and file names.
        metadata: Plain values to carry along (classes, task, …).

    Raises:
        QuantizationError: A site has no scale yet, or the graph was prepared for another arithmetic.
        ProgramError: The program breaks a rule of the march; names the operator and its source line.
    """
    return verify(assemble(graph, march, name=name, metadata=metadata))


def assemble(
    graph: FakeQuantGraph, march: March, *, name: str = "network", metadata: Mapping[str, Any] | None = None
) -> IntProgram:
    """Return what :func:`lower` verifies; what a stand-in gives enters beside the image.

    Args:
        graph: In integer mode, or ready for it.
        march: Whose arithmetic the program must fit.
        name: For titles and file names.
        metadata: Plain values to carry along.

    Raises:
        QuantizationError: A site has no scale yet, or the graph was prepared for another arithmetic.
    """
    _check_arithmetic(graph, march)
    graph.integer_mode()
    sites: dict[str, Site] = dict(graph.sites.items())
    values = {site.name: _tensor_type(site) for site in sites.values()}
    entry = next(iter(sites.values()))
    entering = [site for site in sites.values() if isinstance(site, (InputSite, StandInSite))]
    ops = tuple(_lower_site(site, march) for site in sites.values() if site not in entering)
    strides = value_strides([site.name for site in entering], ops)
    return IntProgram(
        name=name,
        march=march.name,
        inputs=tuple(_port("img" if site is entry else site.name, site, values, 1) for site in entering),
        outputs=tuple(
            _port(key, sites[site], values, strides[site], graph.stubs[key].gain) for key, site in graph.outputs.items()
        ),
        ops=ops,
        values=values,
        metadata=dict(metadata or {}),
    )


def _check_arithmetic(graph: FakeQuantGraph, march: March) -> None:
    own, theirs = next(iter(graph.sites.values())).arithmetic, march.arithmetic
    if not theirs.computes_like(own):
        raise QuantizationError(
            f"The network was prepared for another arithmetic ({own.family}) than that of the march {march.name!r}"
            f" ({theirs.family}); prepare and calibrate it with QConfig(march={march.name!r})."
        )


def _lower_site(site: Site, march: March) -> Operator:
    rule = LOWERING_RULES.get(type(site))
    if rule is None:
        known = ", ".join(sorted(kind.__name__ for kind in LOWERING_RULES))
        raise QuantizationError(f"{site.path} ({site.line}): {type(site).__name__} has no lowering rule, only {known}.")
    return rule(site, march)


def _tensor_type(site: Site) -> TensorType:
    channels, height, width = site.shape if len(site.shape) == 3 else (site.shape[0], 1, 1)
    clamp = None if site.bits is None else (site.quant_min, site.quant_max)
    return TensorType((height, width, channels), site.dtype, site.output_scale().cpu().numpy(), clamp)


def _port(
    name: str, site: Site, values: Mapping[str, TensorType], stride: int, gain: torch.Tensor | None = None
) -> Port:
    kind = values[site.name]
    scale = kind.scale if gain is None else gain.cpu().numpy() * kind.scale
    return Port(name=name, value=site.name, dtype=kind.dtype, scale=scale, stride=stride)
