"""What the README tells people to type exists."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:bash|sh)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_there_are_commands() -> None:
    assert "make demo" in COMMANDS
    assert "make test" in COMMANDS


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    assert command.split()[1] in TARGETS


@pytest.mark.parametrize("command", [c for c in COMMANDS if "tools/" in c])
def test_tools_accept_their_flags(command: str) -> None:
    words = shlex.split(command)
    place = next(i for i, word in enumerate(words) if word.startswith("tools/"))
    tool = runpy.run_path(str(ROOT / words[place]))
    tool["parser"]().parse_args(words[place + 1 :])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target.partition("#")[0]).exists()


@pytest.mark.parametrize("config", sorted(set(re.findall(r"configs/[\w/]+\.py", README))))
def test_named_configs_exist(config: str) -> None:
    assert (ROOT / config).is_file()
