"""``--help`` answers at once: no tool imports torch before its arguments are read."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = sorted(file for file in (ROOT / "tools").rglob("*.py") if not file.name.startswith("_"))
CODE = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    loaded = {"torch", "torchvision", "numpy", "cv2", "pycocotools", "onnx", "onnxruntime"} & set(sys.modules)
    sys.exit(f"--help loads {', '.join(sorted(loaded))}" if loaded else end.code)
sys.exit("--help did not end the tool")
"""


@pytest.mark.parametrize("tool", TOOLS, ids=lambda file: str(file.relative_to(ROOT)))
def test_help_is_instant(tool: Path) -> None:
    env = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", CODE, str(tool)]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ")
