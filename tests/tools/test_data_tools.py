"""The data tools as a shell starts them: their output, their exit codes, and `--help` without the heavy part."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from hatlite.errors import DataNotFoundError

ROOT = Path(__file__).parents[2]
TOOLS = (
    "tools/make_shapes.py",
    "tools/mscoco_packer.py",
    "tools/datasets/mscoco_packer.py",
    "tools/voc2coco.py",
    "tools/voc_to_meta.py",
    "tools/xml_2_txt.py",
)
META_CONFIG = """
classes = ["dog"]
common = dict(type="GNetMeta", img_path="{root}/JPEGImages", classes=classes)
data_loader = dict(dataset=dict(common, meta_file="{root}/t.txt"))
val_data_loader = dict(dataset=dict(common, meta_file="{root}/v.txt"))
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a tool in this process; return its exit code, standard output and standard error."""

    def run_tool(tool, *arguments):
        monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / tool), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return run_tool


@pytest.mark.parametrize("tool", TOOLS)
def test_help_needs_no_torch(tool):
    script = f"import runpy, sys; sys.modules['torch'] = sys.modules['cv2'] = None; sys.argv = [{tool!r}, '--help']; "
    done = subprocess.run(
        [sys.executable, "-c", f"{script}runpy.run_path({tool!r}, run_name='__main__')"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--force" in done.stdout


def test_shapes_are_drawn_and_packed(run, tmp_path):
    options = ("--num-images", 2, "--image-size", "64x72")
    code, output, _ = run(TOOLS[0], "--out", tmp_path, "--split", "val", *options)
    assert code == 0
    assert output.startswith("2 images with ")
    paths = ("--src-data-dir", tmp_path, "--target-data-dir", tmp_path, "--pack-type", "lmdb", "--num-workers", 2)
    code, output, _ = run(TOOLS[2], *paths, "--split-name", "val")
    assert code == 0
    assert "val_lmdb: 2 images, 5 classes (circle, cross, square, star, triangle)" in output
    assert (tmp_path / "val_lmdb/data.mdb").is_file()
    code, output, error = run(TOOLS[1], *paths, "--split-name", "val")
    assert (code, output) == (2, "")
    assert error.startswith(f"DataError: {tmp_path}/val_lmdb exists already; pass --force to replace it")


def test_a_split_of_voc_is_converted(run, write_voc, tmp_path):
    root = write_voc({"a": [("dog", (3, 4, 12, 9))]})
    code, output, _ = run(TOOLS[3], "--voc-dir", root, "--split", "train", "--out", tmp_path / "out", "--copy")
    assert code == 0
    assert output.startswith("1 images and 1 boxes of 1 classes (dog) written to ")


def test_metadata_are_written_for_a_folder_and_for_a_config(run, write_voc, tmp_path):
    root = write_voc({f"{number}": [("hound", (3, 4, 12, 9))] for number in range(10)})
    options = ("--remap", "hound=dog", "--train-share", 0.5)
    code, output, error = run(TOOLS[4], "--voc-dir", root, *options)
    assert code == 0, error
    assert output.startswith(f"5 images to {tmp_path}/meta/voc_train.txt and 5 images to ")
    (tmp_path / "config.py").write_text(META_CONFIG.format(root=root))
    code, output, error = run(TOOLS[5], 0.4, "--config", tmp_path / "config.py", *options)
    assert code == 0, error
    assert output.startswith(f"2 images to {root}/t.txt and 2 images to {root}/v.txt\n4 objects: 4 dog")
    code, _, error = run(TOOLS[5], "--config", tmp_path / "config.py", *options)
    assert code == 2
    assert error.startswith(f"DataError: {root}/t.txt and {root}/v.txt exists already; pass --force")
    code, _, error = run(TOOLS[4], "--remap", "hound", "--voc-dir", root)
    assert code == 2
    assert "is 'hound'; expected OLD=NEW, such as motorcycle=motorbike" in error


def test_without_arguments_the_metadata_of_the_default_config_are_written(run, write_voc, tmp_path, monkeypatch):
    write_voc({f"{number}": [("dog", (3, 4, 12, 9))] for number in range(8)}).rename(tmp_path / "VOC0712")
    monkeypatch.setenv("HATLITE_GNETDET", str(tmp_path))
    monkeypatch.chdir(ROOT)
    code, output, error = run(TOOLS[5])
    assert code == 0, error
    train, valid = (tmp_path / f"meta/VOC0712_{split}.txt" for split in ("train", "valid"))
    assert output.startswith(f"6 images to {train} and 2 images to {valid}\n8 objects: 0 aeroplane, ")
    assert all(line.endswith(".jpg 3 4 12 9 11") for line in train.read_text().splitlines())  # the place of the dog


def test_a_user_error_is_a_sentence_unless_debugging(run, tmp_path, monkeypatch):
    arguments = ("--voc-dir", tmp_path / "nowhere", "--split", "train", "--out", tmp_path / "out")
    code, _, error = run(TOOLS[3], *arguments)
    assert code == 2
    assert error.startswith("DataNotFoundError: a Pascal VOC data set is expected at ")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "argv", [TOOLS[3], *map(str, arguments), "--debug"])
    with pytest.raises(DataNotFoundError, match="a Pascal VOC data set is expected"):
        runpy.run_path(str(ROOT / TOOLS[3]), run_name="__main__")


def test_a_malformed_size_is_refused(run, tmp_path):
    code, _, error = run(TOOLS[0], "--out", tmp_path, "--split", "val", "--image-size", "64")
    assert code == 2
    assert "'64' is no size; expected HEIGHTxWIDTH, such as 192x192" in error
