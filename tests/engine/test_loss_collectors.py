import pytest
import torch

from hatlite.engine import MultiBatchProcessor
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

LOSSES = {name: torch.tensor(float(i)) for i, name in enumerate(("cls", "centerness", "reg"))}


def test_losses_are_chosen_by_their_names():
    keys = {"type": "collect_loss_by_regex", "loss_name_reg": "^c|x"}
    processor = OBJECT_REGISTRY.build({"type": "MultiBatchProcessor", "loss_collector": keys})
    assert isinstance(processor, MultiBatchProcessor)
    assert list(processor.loss_collector(LOSSES)) == ["cls", "centerness"]


def test_a_pattern_that_chooses_nothing_is_refused():
    collect = OBJECT_REGISTRY.build({"type": "collect_loss_by_regex", "loss_name_reg": "box"})
    with pytest.raises(ConfigError, match="no loss is called like 'box'; there are cls, centerness, reg"):
        collect(LOSSES)


def test_what_is_no_pattern_is_refused():
    with pytest.raises(ConfigError, match=r"loss_name_reg is '\(', no regular expression: missing \)"):
        OBJECT_REGISTRY.build({"type": "collect_loss_by_regex", "loss_name_reg": "("})
