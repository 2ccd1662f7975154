"""The tool from its arguments to what it prints and writes."""

import runpy
from pathlib import Path

import pytest
from spots import spot_picture, spot_run

from hatlite import config as config_module
from hatlite.command import run_tool
from hatlite.data.image import encode_jpeg, read_image

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "infer.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"))


@pytest.fixture
def infer(run, tmp_path, monkeypatch):
    """Return ``infer(*arguments) -> exit code``, for the run's config and the folder ``out``."""
    monkeypatch.setattr(config_module, "load", lambda source, opts: run.config)
    (tmp_path / "out").mkdir()

    def call(inputs, *more, out=tmp_path / "out"):
        words = ["--config", "spots.py", "--model-inputs", str(inputs), "--save-path", str(out), *more]
        arguments = TOOL["parser"]().parse_args(words)
        return run_tool(lambda: TOOL["main"](arguments))

    return call


def test_a_picture_in_a_drawn_picture_out(infer, run, tmp_path, capsys):
    files = [run.folder.parent / f"{i}.png" for i in (1, 3)]
    assert infer(f"imgs:{files[0]},imgs:{files[1]}") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"stage int_infer: {run.program()}"
    assert lines[1] == f"{files[0]} -> {tmp_path / 'out' / '1_detections.jpg'}"
    assert lines[2].split() == ["spot", "0.730", "8.0", "8.0", "16.0", "16.0"]
    assert lines[4].split() == ["spot", "0.730", "40.0", "24.0", "48.0", "32.0"]
    assert read_image(tmp_path / "out" / "3_detections.jpg").shape == (32 * 14, 48 * 14, 3)


def test_one_file_and_a_stage_of_choice(infer, run, tmp_path, capsys):
    out = tmp_path / "drawn.png"
    assert infer(run.folder.parent / "2.png", "--stage", "float", "--score-threshold", "0.9", out=out) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{run.folder.parent / '2.png'} -> {out}",
        "  nothing above 0.9",
    ]
    assert out.is_file()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "bad.jpg does not exist"),
        (b"no image", "bad.jpg (8 bytes) cannot be decoded"),
        (encode_jpeg(spot_picture(8, 8))[:-40], "bad.jpg is a truncated JPEG"),
    ],
)
def test_a_bad_picture_is_one_sentence_and_nothing_is_written(infer, run, tmp_path, data, sentence, capsys):
    bad = tmp_path / "bad.jpg"
    if data is not None:
        bad.write_bytes(data)
    assert infer(f"imgs:{run.folder.parent / '1.png'},imgs:{bad}") == 2
    printed, error = capsys.readouterr()
    assert printed == ""  # no file of the stage was read
    assert sentence in error and len(error.splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--stage", "qat"), "There is no checkpoint"),
        (("--stage", "quat"), "There is no stage 'quat'"),
        (("--ckpt", "x.hbir"), "There is no program x.hbir."),
        (("--ckpt", "x.pth.tar"), "There is no checkpoint x.pth.tar."),
        (("--use-dataset",), "--model-inputs and --use-dataset contradict one another"),
    ],
)
def test_bad_arguments(infer, run, tmp_path, more, sentence, capsys):
    assert infer(run.folder.parent / "1.png", *more) == 2
    assert sentence in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_folder(infer, run, tmp_path, capsys):
    assert infer(run.folder.parent / "1.png", out=tmp_path / "missing" / "a.jpg") == 2
    assert "make it first" in capsys.readouterr().err


def test_a_new_folder_is_made_for_a_picture_alone(infer, run, tmp_path, capsys):
    new = tmp_path / "new" / "drawn"
    assert infer(tmp_path / "bad.jpg", out=new) == 2
    assert not new.parent.exists()
    assert infer(run.folder.parent / "1.png", out=new) == 0
    assert [path.name for path in new.iterdir()] == ["1_detections.jpg"]


def test_pictures_of_the_data_set(infer, run, tmp_path, capsys):
    words = ["--config", "spots.py", "--use-dataset", "2", "0", "--save-path", str(tmp_path / "out")]
    assert run_tool(lambda: TOOL["main"](TOOL["parser"]().parse_args(words))) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1_detections.jpg", "3_detections.jpg"]
    assert "3.png -> " in capsys.readouterr().out.splitlines()[1]


def test_a_checkpoint_says_its_stage(infer, run, tmp_path, capsys):
    assert infer(run.folder.parent / "2.png", "--ckpt", str(run.checkpoint("float"))) == 0
    assert capsys.readouterr().out.startswith("stage float: ")


def test_the_newer_name_takes_the_program(run):
    newer = runpy.run_path(str(ROOT / "tools" / "infer_hbir.py"))
    assert newer["parser"]().parse_args(["a.py", "--save-path", "."]).stage == "int_infer"
    assert newer["main"].__code__ is TOOL["main"].__code__ or newer["main"].__doc__ == TOOL["main"].__doc__
