"""Names at the top of a config that an override sets in every shipped config, whether it or a sibling sets them."""

from pathlib import Path

import pytest

from hatlite import config
from hatlite.config_names import FOR_ITSELF, NAMES
from hatlite.engine import Run
from hatlite.errors import ConfigError

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.py"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_the_flag_arrives(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = Run.load(str(file), ["quantize=calibration", "march=tidl", "device_ids=[0, 1]"])
    assert [run.config[name] for name in ("quantize", "march", "device_ids")] == ["calibration", "tidl", [0, 1]]
    with pytest.raises(ConfigError, match=r"config\['quantize'\] is 'trainig'; expected .*\n  Did you mean 'training'"):
        Run.load(str(file), ["quantize=trainig"])


def test_what_only_the_config_reads_is_not_set_for_it(tmp_path: Path) -> None:
    assert set(FOR_ITSELF) < set(NAMES)
    file = tmp_path / "c.py"
    file.write_text("batch_size = 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^--opts batch_size_per_gpu=4: the config sets no such name\."):
        config.load(file, ["batch_size_per_gpu=4"])
