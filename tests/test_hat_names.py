"""docs/hat_names.md says what is so: its names are registered with these keys, or answered with these sentences."""

import inspect
import re
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, DistributedSampler

import hatlite.engine
from hatlite.engine.declined import DECLINED
from hatlite.engine.infer_settings import INFER_KEYS
from hatlite.engine.sections import Declined
from hatlite.registry import OBJECT_REGISTRY

DOC = Path(__file__).parents[1].joinpath("docs", "hat_names.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in DOC.splitlines() if line.startswith("| `")]
KNOWN = [row for row in ROWS if len(row) == 3]
FOREIGN = {"DistributedSampler": DistributedSampler}


def marked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_there_are_rows() -> None:
    assert hatlite.engine.Trainer and len(KNOWN) > 40


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row[0])
def test_a_known_name_takes_its_keys(row: list[str]) -> None:
    for name in marked(row[0]):
        target = OBJECT_REGISTRY.get(FOREIGN.get(name, name))
        assert set(marked(row[1])) <= set(inspect.signature(target).parameters)


def test_declined_keys_are_no_parameters_and_have_their_sentences() -> None:
    said = {}
    for name in [*OBJECT_REGISTRY.names(), DataLoader]:
        target = OBJECT_REGISTRY.get(name)
        for key, sentence in getattr(target, "declined_keys", {}).items():
            assert key not in inspect.signature(target).parameters
            said[f"{getattr(name, '__name__', name)}.{key}"] = sentence
    said |= {f"infer_cfg.{key}": str(hint) for key, hint in INFER_KEYS.items() if isinstance(hint, Declined)}
    listed = {marked(row[0])[0]: row[1] for row in ROWS if len(row) == 2 and "." in row[0]}
    assert {key: said.get(key) for key in listed} == listed
    assert set(said.values()) == set(listed.values())


def test_declined_names_have_their_sentences() -> None:
    assert {marked(row[0])[0]: row[1] for row in ROWS if len(row) == 2 and "." not in row[0]} == DECLINED
