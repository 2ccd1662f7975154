import math

import torch

from hatlite.engine.weights_hash import lacks_ranges, weights_hash


def test_the_hash_is_of_names_shapes_and_bytes_and_not_of_sites() -> None:
    weights = {"network.conv.weight": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    first = weights_hash(weights)
    assert len(first) == 64
    assert weights_hash(dict(reversed(weights.items()))) == first
    assert weights_hash({**weights, "network.sites.conv.scale": torch.tensor(1.0)}) == first
    columns = torch.arange(6.0).reshape(2, 3).t().contiguous().t()  # the same numbers in another order of memory
    assert weights_hash({**weights, "network.conv.weight": columns}) == first
    for name, value in (("network.conv.weight", torch.arange(6.0).reshape(3, 2)), ("n", torch.tensor(4))):
        assert weights_hash({**weights, name: value}) != first


def checkpoint(*scales: float) -> dict:
    sites = {f"network.sites.c{index}": scale for index, scale in enumerate(scales)}
    state = {f"{site}.scale": torch.tensor(scale) for site, scale in sites.items()}
    state |= {f"{site}.multiplier": torch.ones(2) for site in sites}
    return {"state_dict": {"network.conv.weight": torch.ones(2), "network.sites.img.scale": torch.tensor(1.0), **state}}


def test_ranges_lack_where_no_layer_has_a_scale() -> None:
    assert lacks_ranges(checkpoint(math.nan, math.nan))
    assert not lacks_ranges(checkpoint(0.5, math.nan))  # a raw output never has one
    assert not lacks_ranges({"state_dict": {"network.conv.weight": torch.ones(2)}})
