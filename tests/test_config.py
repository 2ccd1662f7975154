"""Configs are modules: loaded, varied, overridden, written out."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hatlite import config
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

BASE = """
import os
import copy
from functools import partial

num_epochs = 10
model = dict(type="FCOS", head=dict(num_classes=3))
float_trainer = dict(model=model, num_epochs=num_epochs, callbacks=[dict(type="StatsMonitor", log_freq=1)])
qat_trainer = dict(model=model, num_epochs=num_epochs // 5)
step = os.environ.get("HAT_TRAINING_STEP", "float")
_private = 1

def collate(batch):
    return batch
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes a file below a fresh current directory."""
    monkeypatch.chdir(tmp_path)
    known, paths = set(sys.modules), list(sys.path)

    def write_file(name: str, text: str) -> Path:
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    yield write_file
    assert sys.path == paths
    for name in set(sys.modules) - known:
        if name.startswith("my_"):
            del sys.modules[name]


def test_public_names_become_the_dict(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAT_TRAINING_STEP", "qat")
    cfg = config.load(write("base.py", BASE))
    assert sorted(cfg) == ["collate", "float_trainer", "model", "num_epochs", "qat_trainer", "step"]
    assert cfg["step"] == "qat"
    assert cfg["collate"]([1]) == [1]
    assert cfg["float_trainer"]["model"] is cfg["model"] is cfg["qat_trainer"]["model"]


def test_a_bare_name_reaches_every_use(write: Write) -> None:
    cfg = config.load(write("base.py", BASE), ["num_epochs=20", "step=int_infer"])
    assert (cfg["float_trainer"]["num_epochs"], cfg["qat_trainer"]["num_epochs"]) == (20, 4)
    assert cfg["step"] == "int_infer"


def test_a_shared_dict_is_overridden_everywhere(write: Write) -> None:
    opts = ["float_trainer.model.head.num_classes=5", "float_trainer.callbacks.0.log_freq=9"]
    cfg = config.load(write("base.py", BASE), opts)
    assert cfg["qat_trainer"]["model"]["head"]["num_classes"] == 5
    assert cfg["float_trainer"]["callbacks"][0]["log_freq"] == 9


@pytest.mark.parametrize(
    "text", ["import base\n", "from configs.detection import base\n", "import configs.detection.base as base\n"]
)
def test_a_variant_edits_a_copy_and_leaves_nothing_behind(write: Write, text: str) -> None:
    write("configs/detection/base.py", BASE)
    edit = "import copy\nmodel = copy.deepcopy(base.model)\nmodel['head']['num_classes'] = 7\n"
    variant = write("configs/detection/variant.py", f"{text}{edit}trainer = base.float_trainer\n")
    before = set(sys.modules)
    cfg = config.load(variant, ["num_epochs=3"])
    assert cfg["model"]["head"]["num_classes"] == 7
    assert cfg["trainer"]["model"]["head"]["num_classes"] == 3
    assert cfg["trainer"]["num_epochs"] == 3
    assert set(sys.modules) == before
    assert config.load(variant)["trainer"]["num_epochs"] == 10


def test_a_variant_in_another_folder_reads_names(write: Write) -> None:
    write("configs/detection/fcos/base.py", BASE)
    text = "from configs.detection.fcos.base import collate, model, num_epochs\nloader = dict(collate_fn=collate)\n"
    cfg = config.load(write("configs/detection/retina/variant.py", text), ["num_epochs=4"])
    assert sorted(cfg) == ["loader", "model", "num_epochs"]
    assert cfg["num_epochs"] == 4


def test_what_a_sibling_imports_lies_beside_the_sibling(write: Write) -> None:
    write("configs/detection/fcos/base.py", BASE)
    write("configs/detection/fcos/middle.py", "import base\ntrainer = base.float_trainer\n")
    variant = write("configs/detection/ssd/variant.py", "from configs.detection.fcos.middle import trainer\n")
    before = set(sys.modules)
    assert config.load(variant, ["trainer.model.head.num_classes=5"])["trainer"]["model"]["head"]["num_classes"] == 5
    assert set(sys.modules) == before


def test_an_override_of_nothing_is_an_error(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"=2: the config sets no such name\.\n  Did you mean 'num_epochs'\?"):
        config.load(write("base.py", BASE), ["num_epoch=2"])


def test_custom_imports_register_types_from_outside(write: Write) -> None:
    register = "from hatlite.registry import OBJECT_REGISTRY\n\n@OBJECT_REGISTRY.register\n"
    write("my_pkg/my_transforms.py", f"{register}def MyBlur(): ...\n")
    write("configs/my_callbacks.py", f"{register}def MyBell(): ...\n")
    cfg = write("configs/a.py", "custom_imports = ['my_pkg.my_transforms', 'my_callbacks']\nx = dict(type='MyBlur')\n")
    try:
        assert OBJECT_REGISTRY.check(config.load(cfg)) == []
        config.load(cfg)  # a second time registers nothing twice
        assert "MyBell" in OBJECT_REGISTRY
    finally:
        for name in ("MyBlur", "MyBell"):
            OBJECT_REGISTRY._entries.pop(name, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("custom_imports = ['my_missing']", r"names 'my_missing', which cannot be imported: ModuleNotFoundError"),
        ("custom_imports = 'my_pkg'", r"custom_imports is 'my_pkg'; expected a list of module names\."),
        ("custom_imports = ['my_broken']", r"'my_broken', which cannot be imported: ZeroDivisionError: division"),
        ("a = 1\nb = dict(", r"bad\.py:2: the config is not valid Python: '\(' was never closed\."),
        ("a = 1\nb = c\n", r"bad\.py:2: NameError: name 'c' is not defined\n  The line is: b = c"),
        ("import broken_base", r"broken_base\.py:2: ZeroDivisionError: division by zero\n  The line is: x = 1 / 0"),
        ("import unreadable", r"unreadable\.py:1: the config is not valid Python"),
        ("import sys\nsys.exit(3)", r"bad\.py:2: SystemExit: 3\n  The line is: sys\.exit\(3\)"),
        ("custom_imports = ['my_exit']", r"'my_exit', which cannot be imported: SystemExit: 4"),
        ("from pathlib import Paht", r"bad\.py:1: ImportError: cannot import name 'Paht'"),
    ],
)
def test_a_config_that_does_not_run_names_its_line(write: Write, text: str, message: str) -> None:
    write("my_broken.py", "1 / 0\n")
    write("my_exit.py", "raise SystemExit(4)\n")
    write("configs/broken_base.py", "\nx = 1 / 0\n")
    write("configs/unreadable.py", "def\n")
    with pytest.raises(ConfigError, match=message):
        config.load(write("configs/bad.py", text))
    assert "broken_base" not in sys.modules


def test_a_missing_file_suggests_one_near_by(write: Write) -> None:
    write("configs/fcos/fcos_bccd.py", "")
    with pytest.raises(ConfigError, match=r"config file configs/fcos/fcos_bcd\.py\.\n  Did you mean '.*_bccd\.py'\?"):
        config.load("configs/fcos/fcos_bcd.py")
    with pytest.raises(ConfigError, match=r"config file fcos_bccd\.\n  Did you mean 'configs/fcos/fcos_bccd\.py'\?"):
        config.load("fcos_bccd")
    with pytest.raises(ConfigError, match=r"^There is no config file zzz\.py\.$"):
        config.load("zzz.py")
    with pytest.raises(
        ConfigError, match=r"^configs/fcos is a folder; name a config file, such as configs/fcos/fcos_bccd\.py\.$"
    ):
        config.load("configs/fcos")


def test_hatlite_errors_of_a_config_pass_through(write: Write) -> None:
    text = "from hatlite.errors import MarchError\nraise MarchError('as written')\n"
    with pytest.raises(ValueError, match=r"^as written$"):
        config.load(write("raises.py", text))


class Array:
    """Stands for a tensor."""

    dtype = "float32"
    shape = (1, 3)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2.5, None, True), [1, 2.5, None, True]),
        ({1: "ü", "b": {3, 1, 2}}, {"1": "ü", "b": [1, 2, 3]}),
        (json.JSONDecoder, "json.JSONDecoder"),
        (json.dumps, "json.dumps"),
        (Path("a") / "b", "a/b"),
        (int, "builtins.int"),
    ],
)
def test_json_is_plain(value: Any, plain: Any) -> None:
    assert json.loads(config.to_json(value)) == plain


def test_json_of_other_values_names_their_type() -> None:
    assert json.loads(config.to_json([Array(), 1j])) == [f"<{__name__}.Array float32 [1, 3]>", "<builtins.complex>"]


def test_dump_is_stable_and_whole(write: Write, tmp_path: Path) -> None:
    path = write("base.py", BASE)
    config.dump(config.load(path), tmp_path / "run" / "config.json")
    first = (tmp_path / "run" / "config.json").read_text(encoding="utf-8")
    config.dump(config.load(path), tmp_path / "run" / "config.json")
    assert (tmp_path / "run" / "config.json").read_text(encoding="utf-8") == first == config.to_json(config.load(path))
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    "line",
    ["from hat.utils.config import ConfigVersion", "import horizon_plugin_pytorch as horizon"],
)
def test_an_import_of_the_other_toolkit_is_answered_with_what_to_write(tmp_path, line):
    (tmp_path / "c.py").write_text(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "c.py")
    module = line.split()[1].partition(".")[0]
    assert str(caught.value) == (
        f"{tmp_path / 'c.py'}:1: ModuleNotFoundError: No module named {module!r}\n  The line is: {line}\n  Configs need"
        f' no import of {module}: leave it out, write types as texts, such as type="FCOS", and VERSION = "v2" for'
        " ConfigVersion.v2."
    )


def test_another_missing_module_gets_no_such_advice(tmp_path):
    (tmp_path / "c.py").write_text("import hat_of_mine\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "c.py")
    assert "VERSION" not in str(caught.value)
