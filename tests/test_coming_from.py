"""docs/coming_from.md: every line of ours is accepted by the tool that it calls, or by the check of its config."""

import itertools
import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch

from hatlite.config import load
from hatlite.engine import STAGE_KINDS, Run
from hatlite.engine.validate import find_problems
from hatlite.registry import OBJECT_REGISTRY

ROOT = Path(__file__).parents[1]
DOC = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")
FILE = re.compile(r"(configs|tools|docs)/[\w/-]+\.\w+")
OVERRIDE = re.compile(r"[a-z]\w*(\.\w+)*=[^=]")


def lines_of_ours() -> list[tuple[str, str]]:
    """Return every code span of a right column, with the config of its section."""
    found = []
    for section in DOC.split("\n## ")[1:]:
        config_file = re.search(r"\]\(\.\./(configs/[\w/]+\.py)\)", section).group(1)
        for line in section.splitlines():
            if line.startswith("|") and not line.startswith(("| there", "|---")):
                cells = line.strip("| ").split(" | ")
                assert len(cells) == 2, f"not two cells: {line}"
                found += [(span, config_file) for span in re.findall(r"`([^`]+)`", cells[1])]
    return found


OURS = lines_of_ours()
SPANS = sorted({span for span, _ in OURS})
COMMANDS = [span for span in SPANS if span.startswith("python tools/")]
DICTS = [span for span in SPANS if span.startswith("dict(")]
OVERRIDES = [(span, file) for span, file in OURS if OVERRIDE.match(span.strip("'\""))]
FILES = [span for span in SPANS if FILE.fullmatch(span)]
WORDS = {"import", "out.model", "custom_imports", "tensorboard/", "float-scalars.jsonl"}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_line_is_of_a_kind_that_is_tested() -> None:
    assert len(COMMANDS) > 30 and len(DICTS) > 20 and len(OVERRIDES) > 20 and len(FILES) > 3
    assert set(SPANS) - {*COMMANDS, *DICTS, *FILES, *(span for span, _ in OVERRIDES)} <= WORDS


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command: str) -> None:
    words = shlex.split(command)
    arguments = runpy.run_path(words[1])["parser"]().parse_args(words[2:])
    stages = ("float", "calibration", "qat", "qat_activations", "qat_31", "int_infer", "align_bpu", None)
    named = getattr(arguments, "stage", None)
    assert set(named if isinstance(named, list) else [named]) <= set(stages)
    for file in re.findall(r"configs/\S+\.py", command):
        assert Path(file).is_file()
    if getattr(arguments, "opts", None):
        assert find_problems(Run(load(arguments.config, arguments.opts)), STAGE_KINDS) == []


@pytest.mark.parametrize("file", FILES)
def test_a_file(file: str) -> None:
    assert Path(file).is_file()


@pytest.mark.parametrize("text", DICTS)
def test_a_dict(text: str) -> None:
    entry = eval(text, {"torch": torch, "dict": dict})
    later = ("optimizer", "dataset", "model", "ann_file", "strides")
    assert [str(problem) for problem in OBJECT_REGISTRY.check(entry, "line", later)] == []


@pytest.mark.parametrize("file", sorted({file for _, file in OVERRIDES}))
def test_overrides(file: str) -> None:
    """All that are of one config at once, as a shell hands them on; where a key has several values, once for each."""
    values: dict[str, list[str]] = {}
    words = [word for span, whose in OVERRIDES if whose == file for word in shlex.split(span)]
    for override in dict.fromkeys(words):
        values.setdefault(override.partition("=")[0], []).append(override)
    for together in itertools.zip_longest(*values.values()):
        overrides = [override for override in together if override]
        assert [str(problem) for problem in find_problems(Run(load(file, overrides)), STAGE_KINDS)] == [], overrides


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", DOC))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target.partition("#")[0]).exists()
