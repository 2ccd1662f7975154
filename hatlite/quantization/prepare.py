"""A float network becomes a fake-quant graph: capture, fuse, make a site of every call."""

import copy
import math
from collections.abc import Callable

import torch
from torch import nn

from hatlite.errors import CaptureError
from hatlite.graph import REPLACEMENTS, Refuse, Refused, Selection, capture, strictly
from hatlite.nn import Add, Concat, DeQuantStub, Interpolate, Mul, QuantStub, Sub
from hatlite.qparams import int_type
from hatlite.quantization.border import mark_outer, output_dtypes
from hatlite.quantization.fuse import FusedCall, fuse, refusal
from hatlite.quantization.graph import FakeQuantGraph, FreezeEpochs
from hatlite.quantization.observer import Observer, observer
from hatlite.quantization.output_gains import ChannelObserver
from hatlite.quantization.qconfig import ActivationRule, QConfig
from hatlite.quantization.scale_groups import can_be_tied
from hatlite.quantization.sites import (
    LUT_FUNCTIONS,
    AddSite,
    AvgPoolSite,
    BatchStatistics,
    BilinearSite,
    ConcatSite,
    ConvSite,
    ConvTransposeSite,
    DepthToSpaceSite,
    InputSite,
    LutSite,
    MaxPoolSite,
    MulSite,
    NearestSite,
    PadSite,
    RescaleSite,
    Site,
    SliceSite,
    SubSite,
)
from hatlite.quantization.sites.conv_transpose import uncut
from hatlite.quantization.stand_ins import StandIns

__all__ = ["SITE_RULES", "check_rules", "prepare"]


def prepare(
    network: nn.Module, qconfig: QConfig, example_inputs: torch.Tensor, refuse: Refuse = strictly
) -> FakeQuantGraph:
    """Return a fake-quant graph over the parameters of `network`.

    The graph shares the network's modules, so their parameters keep names and values. It starts in calibrate mode.

    Args:
        network: ``img → dict[str, Tensor]``, modules only between QuantStub and DeQuantStub.
        qconfig: What is quantised how.
        example_inputs: (1, C, H, W) float32; gives every site its shape.
        refuse: Takes every refusal. Where it returns, a stand-in takes the call's place: such a graph can be calibrated
            and looked at, but not run; the network must be in eval mode, because it is run once in float.

    Raises:
        CaptureError: An operation has no integer form; named with module path and source line.
        QuantizationError: A rule of `qconfig` matches nothing.
    """
    captured = capture(network, refuse)
    stand_ins = StandIns(captured, example_inputs, qconfig)
    sites, outputs, stubs, fused = _make_sites(stand_ins, refuse)
    epochs = FreezeEpochs(qconfig.bn_freeze_epoch, qconfig.range_freeze_epoch)
    graph = FakeQuantGraph(network, sites, outputs, epochs, stubs)
    graph.record_shapes(example_inputs)
    for item in fused:
        _check_linear(item, sites, refuse)
    return graph


def check_rules(network: nn.Module, qconfig: QConfig) -> None:
    """Find what :func:`prepare` would refuse without an example input: rules without effect, modules without integers.

    Args:
        network: As :func:`prepare` takes it.
        qconfig: What is to be checked.

    Raises:
        CaptureError, QuantizationError: As :func:`prepare`.
    """
    _make_sites(StandIns(capture(network), None, qconfig), strictly)


def _make_sites(
    stand_ins: StandIns, refuse: Refuse
) -> tuple[dict[str, Site], dict[str, str], dict[str, DeQuantStub], list[FusedCall]]:
    """Return the sites by name, site and stub that each output comes from, and the calls that they were made of."""
    captured, qconfig = stand_ins.captured, stand_ins.qconfig
    fused, holder = fuse(captured)
    calls = [item.call for item in fused if not isinstance(item.call.module, DeQuantStub)]
    qconfig.check_matched((call.path, type(call.module)) for call in calls)
    if qconfig.first_and_last is not None:
        fused = mark_outer(fused)
    wanted = output_dtypes(captured, fused, holder, refuse)
    sites: dict[str, Site] = {}
    aliases: dict[str, str] = {}
    for item in fused:
        if isinstance(item.call.module, DeQuantStub):
            aliases[item.call.name] = item.inputs[0]
            continue
        site = _site_or_stand_in(item, sites, wanted.get(item.call.name), stand_ins, refuse)
        if site is not None:
            _enter(site, sites)
    if qconfig.bn == "train":
        statistics: dict[int, BatchStatistics] = {}
        for site in sites.values():
            if isinstance(site, ConvSite):
                site.follow_batches(statistics)
    if qconfig.ranges == "train":
        for site in sites.values():
            site.let_range_run()
    holders = {name: holder[call] for name, call in captured.outputs.items() if aliases.get(holder[call]) in sites}
    stubs = {item.call.name: item.call.module for item in fused}
    return (
        sites,
        {name: aliases[held] for name, held in holders.items()},
        {name: stubs[held] for name, held in holders.items()},
        fused,
    )


def _site_or_stand_in(
    item: FusedCall, sites: dict[str, Site], wanted: str | None, stand_ins: StandIns, refuse: Refuse
) -> Site | None:
    if isinstance(item.call.module, Refused):  # capture has said so
        return stand_ins.make(item.call)
    try:
        site = _make_site(item, sites, wanted, stand_ins)
        if refuse is not strictly and isinstance(site, SliceSite):  # else the shapes of all sites will raise it
            site.ranges(tuple(stand_ins.results[item.call.inputs[0]].shape[1:]))
        return site
    except CaptureError as problem:
        refuse(problem)
        return stand_ins.make(item.call)


def _enter(site: Site, sites: dict[str, Site]) -> None:
    """Add `site` behind those that it reads; a call may have made several, one behind the other."""
    for part in site.inputs:
        if part.name not in sites:
            _enter(part, sites)
    sites[site.name] = site


def _make_site(item: FusedCall, sites: dict[str, Site], wanted: str | None, stand_ins: StandIns) -> Site:
    call = item.call
    inputs = tuple(_site_of(name, sites, item, stand_ins) for name in item.inputs)
    qconfig, place = stand_ins.qconfig, (call.path, type(call.module))
    rule = qconfig.of(*place, outer=item.outer)
    kept = item.outer and rule.dtype == qconfig.first_and_last
    dtype = rule.dtype if kept else wanted or rule.dtype  # else what leaves the accelerator is the stub's to say
    settings = {
        "name": call.name,
        "path": call.path,
        "line": call.line,
        "inputs": inputs,
        "dtype": dtype,
        "observer": None if dtype == "int32" else _observer(qconfig, rule, leaves=wanted is not None),
        "relu": item.relu,
        "fixed": rule.fixed_scale if rule.fixed and dtype != "int32" else None,
        "learn": rule.learn,
        "scale_grid": qconfig.grid,
        "arithmetic": qconfig.arithmetic_of(*place, outer=item.outer),
        "weight_rule": qconfig.weight_rule,
    }
    settings["bits"] = rule.bits if rule.dtype == dtype and rule.bits else settings["arithmetic"].value_bits(dtype)
    for kind, make in SITE_RULES.items():
        if isinstance(call.module, kind):
            site = _settle_dtype(make(item, settings))
            _check_fixed(item, site, rule)
            _check_power(item, site)
            _check_dtype(item, site, leaves=wanted is not None)
            return site
    known = ", ".join(sorted(kind.__name__ for kind in (*SITE_RULES, nn.Identity, DeQuantStub)))
    name = type(call.module).__name__
    raise refusal(item, f"{name} has no integer form", REPLACEMENTS.get(name, f"supported are {known}"))


def _observer(qconfig: QConfig, rule: ActivationRule, *, leaves: bool) -> Observer:
    found = observer(rule.observer)
    return ChannelObserver(found) if leaves and qconfig.output_gains == "per_channel" else found


def _check_fixed(item: FusedCall, site: Site, rule: ActivationRule) -> None:
    """A scale that the config gives must find a place."""
    if rule.fixed and not (site.source.is_fixed and site.source.path == item.call.path):
        own = "the raw accumulator, with one scale per channel" if site.dtype == "int32" else "the scale of its input"
        reason = f"a rule of the qconfig fixes its scale, but it has {own}"
        raise refusal(item, reason, "narrow the pattern of that rule")


def _check_power(item: FusedCall, site: Site) -> None:
    """A scale that config or stub give is one that the march has."""
    given = site.fixed(site.arithmetic.steps(site.quant_max)) if site.fixed is not None else None
    if given is not None and site.arithmetic.powers_of_two and math.frexp(given)[0] != 0.5:
        near = 2.0 ** math.frexp(given)[1]
        remedy = f"give {near:g} or {near / 2:g}, or leave it to calibration"
        raise refusal(item, f"its scale is fixed at {given:g}, and the march has powers of two only", remedy)
    unit = site.arithmetic.unit_scale(site.dtype)
    if isinstance(site, InputSite) and unit is not None and given != unit:
        reason = f"the image has the scale {given}, and the march has {unit:g} only"
        raise refusal(item, reason, f"write QuantStub({unit:g}), and let QuantizePixels make its integers")


def _check_dtype(item: FusedCall, site: Site, *, leaves: bool) -> None:
    """The type of a result is one that the march has there."""
    facts = site.arithmetic
    if site.dtype in facts.activation_dtypes or (leaves and site.dtype in facts.output_dtypes):
        return
    if site.dtype == "int8":
        raise refusal(
            item, "its result can be negative, and the march has unsigned values only", "put a ReLU behind it"
        )
    known = facts.output_dtypes if leaves else facts.activation_dtypes
    reason = f"its result is {site.dtype}, and the march has {' and '.join(known)} there"
    raise refusal(item, reason, "give it dtype='int8' in the rules of the qconfig, and to a DeQuantStub behind it")


def _settle_dtype(site: Site) -> Site:
    """Take 8 bits unsigned where the result is provably ≥ 0."""
    if site.dtype == "int8" and site.nonnegative:
        site.dtype = "uint8"
    return site


def _site_of(name: str, sites: dict[str, Site], item: FusedCall, stand_ins: StandIns) -> Site | None:
    if name == stand_ins.captured.input:
        if not isinstance(item.call.module, QuantStub):
            raise refusal(item, "the image must enter through a QuantStub", "let no other module read it")
        return None
    if name in stand_ins.unusable:
        reason = (
            f"it reads what {stand_ins.unusable[name]} gives, which is refused and no tensor (N, C, H, W) or (N, C)"
        )
        raise refusal(item, reason, "mend that one first")
    if name not in sites:
        raise refusal(item, "it reads a value behind a DeQuantStub, which is float", "move it outside the network")
    return sites[name]


def _check_linear(item: FusedCall, sites: dict[str, Site], refuse: Refuse) -> None:
    """On (N, C, H, W) torch multiplies the columns of the image by the matrix, where integers would take channels."""
    if isinstance(item.call.module, nn.Linear) and isinstance(sites.get(item.call.name), ConvSite):
        if len(sites[item.call.name].shape) != 1:
            remedy = "for the channels of a picture use Conv2d with kernel_size=1"
            refuse(refusal(item, "Linear takes (N, C)", remedy))


def _input(item: FusedCall, settings: dict) -> Site:
    """The rule of the config is asked before the stub is."""
    stub = item.call.module.scale
    fixed = settings["fixed"] or (None if stub is None else ActivationRule(scale=stub).fixed_scale)
    facts = settings["arithmetic"]
    dtype = "int8" if "int8" in facts.activation_dtypes else "uint8"
    return InputSite(**{**settings, "inputs": (), "dtype": dtype, "fixed": fixed, "bits": facts.value_bits(dtype)})


def _conv(item: FusedCall, settings: dict) -> Site:
    module = item.call.module
    if isinstance(module, nn.Conv2d) and (isinstance(module.padding, str) or module.padding_mode != "zeros"):
        raise refusal(item, "padding must be numbers, filled with zeros", "write padding=1 and padding_mode='zeros'")
    return ConvSite(module, item.batch_norm, **settings)


def _conv_transpose(item: FusedCall, settings: dict) -> Site:
    """All phases in one convolution, then channels become pixels, then edges are cut off; the last has the name."""
    layer, name = item.call.module, settings["name"]
    rest = uncut(layer)
    blocks = layer.stride != (1, 1)
    names = [f"{name}_phases"] * (blocks or rest is not None) + [f"{name}_blocks"] * (blocks and rest is not None)
    names.append(name)
    moving = {**settings, "relu": False}
    site: Site = ConvTransposeSite(layer, item.batch_norm, **{**settings, "name": names.pop(0)})
    _settle_dtype(site)
    if blocks:
        site = DepthToSpaceSite(layer.stride, **_keeping_type({**moving, "inputs": (site,), "name": names.pop(0)}))
    if rest is not None:
        site = SliceSite(rest, **_keeping_type({**moving, "inputs": (site,), "name": names.pop(0)}))
    return site


def _lone_batch_norm(item: FusedCall, settings: dict) -> Site:
    reason = "this BatchNorm2d is not the only reader of a convolution, so it cannot be folded"
    raise refusal(item, reason, "place it directly behind a Conv2d whose result nothing else reads")


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _max_pool(item: FusedCall, settings: dict) -> Site:
    module = item.call.module
    if module.ceil_mode or _pair(module.dilation) != (1, 1) or module.return_indices:
        reason = "MaxPool2d must have ceil_mode=False, dilation=1, return_indices=False"
        raise refusal(item, reason, "leave these as torch has them; padding=1 keeps the last row")
    stride = module.stride if module.stride is not None else module.kernel_size
    shape = {"kernel_size": _pair(module.kernel_size), "stride": _pair(stride), "padding": _pair(module.padding)}
    return MaxPoolSite(**shape, **_keeping_type(settings))


def _avg_pool(item: FusedCall, settings: dict) -> Site:
    module = item.call.module
    padding = _pair(module.padding)
    if module.ceil_mode or module.divisor_override or (padding != (0, 0) and not module.count_include_pad):
        reason = "AvgPool2d must have ceil_mode=False, no divisor_override and count padded pixels"
        raise refusal(item, reason, "leave these as torch has them")
    stride = module.stride if module.stride is not None else module.kernel_size
    return AvgPoolSite(_pair(module.kernel_size), _pair(stride), padding, **settings)


def _lut(item: FusedCall, settings: dict) -> Site:
    (source,) = settings["inputs"]
    if int_type(source.dtype).bytes > 1:
        kind = type(item.call.module).__name__
        raise refusal(
            item,
            f"{kind} is a table of 256 entries and cannot take {source.dtype}",
            f"give its input, {source.path}, dtype int8 in the rules of the qconfig",
        )
    return LutSite(item.call.module, **settings)


def _global_avg_pool(item: FusedCall, settings: dict) -> Site:
    if item.call.module.output_size not in (1, (1, 1), [1, 1]):
        raise refusal(item, "AdaptiveAvgPool2d must have output_size=1", "for windows use AvgPool2d")
    return AvgPoolSite(None, **settings)


def _pad(item: FusedCall, settings: dict) -> Site:
    left, right, top, bottom = item.call.module.padding
    if min(left, right, top, bottom) < 0:
        raise refusal(item, "ZeroPad2d must not cut pixels off", "padding is 0 or more on every side")
    return PadSite((top, bottom, left, right), **_keeping_type(settings))


def _pixel_shuffle(item: FusedCall, settings: dict) -> Site:
    factor = item.call.module.upscale_factor
    return DepthToSpaceSite((factor, factor), **_keeping_type(settings))


def _interpolate(item: FusedCall, settings: dict) -> Site:
    if item.call.module.mode == "bilinear":
        return BilinearSite(**_keeping_type(settings))
    return NearestSite(item.call.module.scale_factor, **_keeping_type(settings))


def _concat(item: FusedCall, settings: dict) -> Site:
    """Parts of several sources share a scale; one whose own scale is fixed or of another width is rescaled."""
    if not settings["inputs"]:
        raise refusal(item, "Concat takes one tensor or more", "hand it what it shall join")
    dtype = max((part.dtype for part in settings["inputs"]), key=lambda dtype: int_type(dtype).bytes)
    one_source = len({part.source.name for part in settings["inputs"]}) == 1
    parts = tuple(
        part if one_source or can_be_tied(part, dtype) else _rescaled(part, index, {**settings, "dtype": dtype})
        for index, part in enumerate(settings["inputs"])
    )
    return ConcatSite(**_keeping_type({**settings, "inputs": parts}))


def _rescaled(part: Site, index: int, settings: dict) -> Site:
    dtype = "int8" if int_type(settings["dtype"]).bytes == 1 else settings["dtype"]
    name = f"{settings['name']}_rescale_{index}"
    fields = {"name": name, "inputs": (part,), "dtype": dtype, "observer": copy.deepcopy(settings["observer"])}
    return _settle_dtype(RescaleSite(**{**settings, **fields}))


def _keeping_type(settings: dict) -> dict:
    """Scale, type and bits are those of the inputs, so there is nothing to observe."""
    bits = [part.bits for part in settings["inputs"]]
    widest = None if None in bits else max(bits)
    return {**settings, "dtype": settings["inputs"][0].dtype, "observer": None, "fixed": None, "bits": widest}


SITE_RULES: dict[type[nn.Module], Callable[[FusedCall, dict], Site]] = {
    QuantStub: _input,
    nn.Conv2d: _conv,
    nn.Linear: _conv,
    nn.ConvTranspose2d: _conv_transpose,
    nn.BatchNorm2d: _lone_batch_norm,
    nn.PixelShuffle: _pixel_shuffle,
    Selection: lambda item, settings: SliceSite(item.call.module, **_keeping_type(settings)),
    nn.ReLU: lambda item, settings: RescaleSite(**{**settings, "relu": True}),
    Add: lambda item, settings: AddSite(**settings),
    Sub: lambda item, settings: SubSite(**settings),
    Mul: lambda item, settings: MulSite(**settings),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _global_avg_pool,
    nn.ZeroPad2d: _pad,
    **dict.fromkeys(LUT_FUNCTIONS, _lut),
    Interpolate: _interpolate,
    Concat: _concat,
}
"""One row per module type: how its site is made."""
