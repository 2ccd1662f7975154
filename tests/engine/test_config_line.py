from pathlib import Path

import pytest

from hatlite.engine.config_line import line_of

BASE = """
other = dict(backbone=1)
model = dict(
    type="FCOS",
    backbone=dict(
        type="resnet50",
    ),
    **{"neck": None},
    head={"type": "FCOSHead", "num_classes": 3},
)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "configs" / "base.py"
    file.parent.mkdir()
    file.write_text(BASE)
    return file


@pytest.mark.parametrize(
    ("keys", "line"),
    [(["model"], 3), (["model", "backbone"], 5), (["model", "head", "num_classes"], 9), (["model", "loss"], None)],
)
def test_dicts_in_either_spelling(base: Path, keys: list[str], line: int | None) -> None:
    assert line_of(base, keys) == (None if line is None else (base, line))


@pytest.mark.parametrize(
    "text",
    [
        "import copy\nimport base\nmodel = copy.deepcopy(base.model)\n",
        "import base as sibling\nmodel = dict(sibling.model, type='SSD')\n",
        "from configs import base\nmodel = base.model\n",
        "import configs.base\nmodel = configs.base.model\n",
        "from base import model\n",
    ],
)
def test_a_copy_leads_to_the_sibling(base: Path, text: str) -> None:
    variant = base.with_name("variant.py")
    variant.write_text(text)
    found = line_of(variant, ["model", "backbone"])
    assert found is not None
    assert (found[0].resolve(), found[1]) == (base.resolve(), 5)


CHANGED = """
import copy
import base
model = copy.deepcopy(base.model)
model["neck"] = dict(type="SSDNeck", channels=[1])
model["head"].update(
    {"bias": True},
    num_classes=4,
)
model["head"] |= dict(norm=None)
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["model", "neck"], 5),
        (["model", "neck", "channels"], 5),
        (["model", "head", "num_classes"], 8),
        (["model", "head", "bias"], 7),
        (["model", "head", "norm"], 10),
        (["model"], 4),
        (["model", "neck", "absent"], None),
    ],
)
def test_what_a_copy_sets_later_is_its_own_line(base: Path, keys: list[str], line: int | None) -> None:
    variant = base.with_name("variant.py")
    variant.write_text(CHANGED)
    assert line_of(variant, keys) == (None if line is None else (variant, line))
    found = line_of(variant, ["model", "head", "type"])  # which it leaves as it is
    assert found is not None
    assert (found[0].resolve(), found[1]) == (base.resolve(), 9)


def test_a_later_assignment_forgets_what_was_set(base: Path) -> None:
    variant = base.with_name("variant.py")
    variant.write_text("import base\nmodel = {'neck': 1}\nmodel['neck'] = 2\nmodel = base.model\n")
    found = line_of(variant, ["model", "backbone"])
    assert found is not None
    assert (found[0].resolve(), found[1]) == (base.resolve(), 5)
    assert line_of(variant, ["model", "loss"]) is None


def test_what_the_config_does_not_say_has_no_line(base: Path) -> None:
    variant = base.with_name("variant.py")
    variant.write_text("import json\nmodel = json.loads('{}')\n")
    assert line_of(variant, ["model", "backbone"]) is None
    assert line_of(variant, ["deploy_model"]) is None
    assert line_of(base.with_name("none.py"), ["model"]) is None
