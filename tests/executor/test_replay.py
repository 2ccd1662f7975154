"""Recordings are compared value by value; a recording that cannot be used is a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.executor.replay import load_recording, main, parser, replay, save_recording
from hatlite.program import Conv2d, IntProgram, Port, Requantize, TensorType, Weight, save

ROOT = Path(__file__).parents[2]
REQUANTIZE = Requantize(np.full(1, 2**14 + 1), np.full(1, 15), -128, 127)  # a half, and a little
OP = Conv2d(
    name="sum",
    inputs=("x",),
    output="y",
    weight=Weight(np.ones((1, 1, 1, 3), np.int8)),
    bias=np.zeros(1, np.int32),
    requantize=REQUANTIZE,
)
VALUES = {"x": TensorType((1, 2, 3), "int8", 0.5), "y": TensorType((1, 2, 1), "int8", 1.0)}
PROGRAM = IntProgram("p", "bayes-sim", (Port("img", "x", "int8", 0.5),), (Port("o", "y", "int8", 1.0),), (OP,), VALUES)
IMG = np.array([[[[1, 2, 3], [10, 20, 34]]]], np.int8)
SUMS = np.array([[[[3], [32]]]])  # (1+2+3)/2 and (10+20+34)/2


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    save_recording(tmp_path / "r.npz", {"img": IMG}, {"x": IMG, "y": SUMS})
    return save(PROGRAM, tmp_path / "p.hbir"), tmp_path / "r.npz"


def test_by_hand(files: tuple[Path, Path], tmp_path: Path) -> None:
    save_recording(tmp_path / "off.npz", {"img": IMG}, {"x": IMG, "y": SUMS - np.array([[[[0], [300]]]])})
    found = replay(PROGRAM, [files[1], tmp_path / "off.npz"])
    assert found == {
        "x": {"elements": 12, "differing": 0, "max_lsb": 0, "saturated": 0},
        "y": {"elements": 4, "differing": 1, "max_lsb": 300, "saturated": 0},
    }


def test_the_command_answers_in_json_and_imports_nothing_foreign(files: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "hatlite.executor.replay", *map(str, files)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout)
    assert (found["engine"], found["foreign_modules"]) == ("reference", [])
    assert [count["differing"] for count in found["values"].values()] == [0, 0]


def test_the_exit_code_tells_and_foreign_modules_are_named(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hatlite.models", sys)
    save_recording(files[1], {"img": IMG}, {"x": IMG, "y": SUMS + 1})
    assert main(parser().parse_args([*map(str, files), "--engine", "float32"])) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"torch", "hatlite.models"} <= set(found["foreign_modules"])


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_a_damaged_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(ProgramError, match=r"r\.npz: is no readable recording \(.*\); record it again\."):
        load_recording(tmp_path / "r.npz", PROGRAM)


def test_a_truncated_or_flipped_recording_is_refused(files: tuple[Path, Path]) -> None:
    content = bytearray(files[1].read_bytes())
    files[1].write_bytes(content[:-30])
    with pytest.raises(ProgramError, match="is no readable recording"):
        load_recording(files[1], PROGRAM)
    content[content.index(IMG.tobytes())] ^= 1
    files[1].write_bytes(content)
    with pytest.raises(ProgramError, match="is no readable recording .*CRC"):
        load_recording(files[1], PROGRAM)


def test_a_single_array_is_no_recording(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", SUMS)
    with pytest.raises(ProgramError, match="is no readable recording"):
        load_recording(tmp_path / "r.npy", PROGRAM)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"x": IMG}, r"the program has a value 'y', the recording has none; record the program's own graph\."),
        ({"x": IMG, "y": SUMS, "z": SUMS}, "the recording has a value 'z', the program has none"),
        ({"x": IMG, "y": SUMS / 2}, r"value:y holds float64; expected integers\."),
        ({"x": IMG, "y": SUMS[:, :, :1]}, r"value 'y' has shape \(1, 1, 1, 1\); the program computes \(1, 1, 2, 1\)\."),
    ],
)
def test_another_network_is_refused(values: dict, said: str, tmp_path: Path) -> None:
    save_recording(tmp_path / "r.npz", {"img": IMG}, values)
    with pytest.raises(ProgramError, match=rf"r\.npz: {said}"):
        replay(PROGRAM, [tmp_path / "r.npz"])
