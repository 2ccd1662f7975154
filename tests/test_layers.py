"""Imports point down, and the device side starts without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIGHT = (
    "hatlite",
    "hatlite.chip",
    "hatlite.config",
    "hatlite.march",
    "hatlite.ops.integer",
    "hatlite.program",
    "hatlite.compiler",
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_the_import_contract_holds() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    result = run("-c", code)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", LIGHT)
def test_no_torch_is_loaded(name: str) -> None:
    result = run("-c", f"import sys, {name}; sys.exit('torch' in sys.modules)")
    assert result.returncode == 0, f"import {name} loads torch: {result.stderr}"
