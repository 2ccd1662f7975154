"""The gain edit: real ranges become part of the weights, so that every value between operators has scale 1.

A chip that only shifts can have scales that are no powers of two all the same: a convolution whose input was divided by
its scale and whose result is divided by its own computes what it computed, if its weights take the ratio of both. What
is left is one factor behind the last layer, outside of the integers (``DeQuantStub.gain``). In real numbers nothing
changes; only the steps of weights and biases are others.
"""

from dataclasses import dataclass

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.sites import ConvSite, InputSite, PassingSite, Site

__all__ = ["edit_gains"]


@dataclass(frozen=True, eq=False)
class _Edit:
    """What a site's results are multiplied by, and what that of its input are."""

    site: Site
    gain: float
    gain_in: float


@torch.no_grad()
def edit_gains(graph: FakeQuantGraph) -> None:
    """Fold the scales of all values into weights, biases and the gains of outputs; the graph then computes on integers.

    With r = unit scale / scale of a layer's result, and r_in of its input: w ← w · r / r_in, b ← b · r, scale ← unit
    scale, and behind an output gain ← gain / r. Every site keeps the cap that it had (:attr:`Site.cap`), which is how a
    graph, and a checkpoint of it, know that they were edited.

    Args:
        graph: Calibrated, of convolutions and linear layers that follow one another, each called once, and of what only
            selects among integers; the image has its unit scale already.

    Raises:
        QuantizationError: It was edited before, a scale is not known, or a site lets no factor pass.
    """
    if graph.gain_edits:
        raise QuantizationError(
            "The scales of this network were folded into its weights before, so a second gain edit would find none; go"
            " on with --resume, or leave EditGain out of the model_convert_pipeline that starts from it."
        )
    graph.require_scales()
    edits = _plan(graph)
    gains = {edit.site.name: edit.gain for edit in edits}
    for name, output in graph.outputs.items():
        graph.stubs[name].gain.div_(gains[output])  # type: ignore[union-attr]
    for edit in edits:
        _fold(edit)
    graph.take_unit_scales()


def _plan(graph: FakeQuantGraph) -> list[_Edit]:
    """Return what happens to each site, in order, so that nothing is changed where something does not fit."""
    gains: dict[str, float] = {}
    edits, layers = [], set()
    for site in graph.sites.values():
        gain_in = gains[site.inputs[0].name] if site.inputs else 1.0
        gain = gain_in if isinstance(site, PassingSite) else _unit_scale(site) / float(site.scale)
        called_before = id(getattr(site, "layer", site)) in layers
        layers.add(id(getattr(site, "layer", site)))
        plain = isinstance(site, PassingSite) or (type(site) is ConvSite and not site.raw and site.layers[1] is None)
        if not (plain or isinstance(site, InputSite)) or called_before or len({part.name for part in site.inputs}) > 1:
            raise _refusal(site, "lets no gain pass" if not called_before else "is called a second time")
        gains[site.name] = gain
        edits.append(_Edit(site, gain, gain_in))
    for name, output in graph.outputs.items():
        if graph.stubs[name].gain is None:
            site = graph.sites[output]
            raise QuantizationError(
                f"{site.path} ({site.line}) leaves as output {name!r} through a DeQuantStub without a gain, which the"
                " gain edit needs; write DeQuantStub(dtype, channels), with the channels of the output."
            )
    return edits


def _unit_scale(site: Site) -> float:
    unit = site.arithmetic.unit_scale(site.dtype)
    return 1.0 if unit is None else unit


def _refusal(site: Site, why: str) -> QuantizationError:
    return QuantizationError(
        f"{site.path} ({site.line}) {why}; the gain edit takes convolutions and linear layers without batch norm that"
        " follow one another, each called once, with ReLUs and max pools, behind QuantStub(scale=1.0)."
    )


def _fold(edit: _Edit) -> None:
    if not isinstance(edit.site, ConvSite):
        return
    layer: nn.Conv2d | nn.Linear = edit.site.layer
    layer.weight.mul_(edit.gain / edit.gain_in)
    if layer.bias is not None:
        layer.bias.mul_(edit.gain)
    edit.site.weight_scale.fill_(torch.nan)  # of other weights: the shift of these does not cling to it
