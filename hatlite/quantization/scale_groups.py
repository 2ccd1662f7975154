"""Sites that a concatenation ties together: one scale and one type for all of them.

What is concatenated must have one scale, and rescaling every part would round once more. So the sites that make the
parts share the largest scale that any of them asks for, and signed integers where one of them is signed. A site that
feeds two concatenations joins both into one group; whoever else reads it meets the scale of the group.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from hatlite.ops.integer.snap import snap_add, tied_scale
from hatlite.qparams import int_type
from hatlite.quantization.sites import AddSite, ConcatSite, Site

__all__ = ["ScaleGroup", "can_be_tied", "give_parameters", "keep_what_is_asked", "tie_scales"]


def can_be_tied(site: Site, dtype: str) -> bool:
    """Return whether the scale of `site` can be that of a group of `dtype`: it is free, and its type is as wide."""
    source = site.source
    return source.free and int_type(source.dtype).bytes == int_type(dtype).bytes


@dataclass(frozen=True, eq=False)
class ScaleGroup:
    """Sites with one scale.

    Attributes:
        members: Those that round to it, in order; sites that only select among their integers follow them. Where one
            of them learns its scale, all do, by one parameter, which the first one keeps.
    """

    members: tuple[Site, ...]

    def settle(self) -> None:
        """Give all members the largest scale that one of them asks for, moved to where additions have their proof."""
        ideal = max(site.ideal_scale() for site in self.members)
        additions = [(site.addition(), self._scales(site)) for site in self.members if isinstance(site, AddSite)]
        scale = tied_scale(additions, ideal) if self.members[0].movable else ideal
        for site in self.members:
            site.scale.fill_(scale)

    def _scales(self, site: AddSite) -> tuple[float | None, float | None]:
        first, second = (None if part.source in self.members else self._expected(part.source) for part in site.inputs)
        return first, second

    def _expected(self, site: Site) -> float:
        """Return the scale of `site`, or the one that it will take."""
        if not math.isnan(float(site.scale)):
            return float(site.scale)
        if isinstance(site, AddSite) and site.movable and not site.tied:
            first, second = self._scales(site)
            if first is not None and second is not None:
                return snap_add((first, second), site.ideal_scale(), site.addition()).scale
        return site.ideal_scale()


def tie_scales(sites: Iterable[Site]) -> tuple[ScaleGroup, ...]:
    """Find the groups, mark their members as tied and settle all types.

    Args:
        sites: All sites in order; inputs of a concatenation have one source or can be tied.
    """
    sites = tuple(sites)
    together: dict[str, set[str]] = {}
    for site in sites:
        if isinstance(site, ConcatSite):
            names = {part.source.name for part in site.inputs}
            names = names.union(*(together.get(name, ()) for name in names))
            together.update(dict.fromkeys(names, names))
    groups: dict[int, list[Site]] = {}
    for site in sites:
        if len(together.get(site.name, ())) > 1:
            groups.setdefault(id(together[site.name]), []).append(site)
    for members in groups.values():
        _settle_type(members)
    for site in sites:
        site.dtype = site.source.dtype
    return tuple(ScaleGroup(tuple(members)) for members in groups.values())


def give_parameters(sites: Iterable[Site]) -> None:
    """Give every site that shall learn its scale, or the first of its group, the parameter for it.

    Args:
        sites: All sites, after :func:`tie_scales`.
    """
    for site in sites:
        members = site.group or (site,)
        if site is members[0] and any(member.learn and member.free for member in members):
            site.log_scale = nn.Parameter(torch.zeros(()))


def keep_what_is_asked(sites: Iterable[Site]) -> bool:
    """Return whether training moves scales: some are learned, or ranges run.

    What is asked for then travels in the checkpoint too, also for sites whose own scale stays: an addition looks for
    its scale again when those of its inputs have moved.

    Args:
        sites: All sites, after :func:`give_parameters`.
    """
    sites = tuple(sites)
    move = any(site.log_scale is not None or site.running_range is not None for site in sites)
    for site in sites:
        site.register_buffer("asked_scale", site.asked_scale, persistent=move and site.observer is not None)
    return move


def _settle_type(members: list[Site]) -> None:
    dtypes = {site.dtype for site in members}
    for site in members:
        site.group = tuple(members)
        if len(dtypes) > 1:  # one width, so they differ in the sign
            site.dtype = "int8"
