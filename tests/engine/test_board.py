"""The integer program on the board's own input, beside int_infer."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from hatlite.data.packing import pack_coco
from hatlite.data.shapes_file import write_shapes
from hatlite.engine import Run, align_bpu, board_table, run_stage
from hatlite.engine.report import read_report
from hatlite.errors import ConfigError, StageError

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def drawn(tiny_config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The tiny run on pictures of shapes, resized and padded."""
    write_shapes(tmp_path, "val", num_images=4, seed=1, size=(80, 96))
    pack_coco(tmp_path, tmp_path, "val")
    transforms = [
        {"type": "Resize", "img_scale": (32, 48)},
        {"type": "Pad", "size": (32, 48)},
        {"type": "ToTensor", "to_yuv": True},
        {"type": "Normalize", "mean": 128.0, "std": 128.0},
    ]
    dataset = {"type": "CocoFromLMDB", "data_path": str(tmp_path / "val_lmdb"), "transforms": transforms}
    for loader in (tiny_config["data_loader"], tiny_config["val_data_loader"]):
        loader["dataset"], loader["collate_fn"] = dataset, {"type": "Collate2D"}
    tiny_config["num_classes"] = 5
    return tiny_config


def finished(config: dict[str, Any]) -> Run:
    run = Run(config)
    for stage in ("float", "calibration", "qat", "int_infer"):
        run_stage(run, stage)
    return Run(config)


def test_the_first_step_is_int_infer_and_each_later_one_changes_its_part(drawn: dict[str, Any]) -> None:
    run = finished(drawn)
    steps = align_bpu(run)
    row = read_report(run.folder)["int_infer"]
    assert steps[0].metrics["mAP"] == row["mAP"] and steps[0].metrics["val_loss"] == row["val_loss"]
    assert (steps[0].luma, steps[0].chroma) == (0.0, 0.0)
    assert [step.name for step in steps[1:]] == ["resize in YUV", "NV12 of the camera", "NV12 of the network"]
    assert steps[2].luma == steps[3].luma == 0.0 < steps[1].luma  # chroma alone is averaged
    assert all(step.chroma > 0 for step in steps[1:])
    assert len({step.metrics["mAP"] for step in steps}) > 1
    text = board_table(steps)
    total = steps[-1].metrics["mAP"] - steps[0].metrics["mAP"]
    assert text.endswith(f"align_bpu against int_infer: {total:+.4f} mAP on 4 images.")
    assert f"| int_infer | {steps[0].metrics['mAP']:.4f} | " in text


def test_workers_of_a_loader_see_every_step(drawn: dict[str, Any]) -> None:
    run = finished(drawn)
    alone = [step.metrics["mAP"] for step in align_bpu(run)]
    drawn["val_data_loader"]["num_workers"] = 1
    assert [step.metrics["mAP"] for step in align_bpu(Run(drawn))] == alone
    given = Run(drawn)
    assert [step.metrics["mAP"] for step in align_bpu(given, num_workers=0)] == alone
    assert given.config["align_bpu_predictor"]["data_loader"]["num_workers"] == 0
    lowered = align_bpu(Run(drawn), run.checkpoint("qat"), 0)
    assert [step.metrics["mAP"] for step in lowered] == alone


@pytest.mark.parametrize("name", ["validation_hbir.py", "align_bpu_validation.py"])
def test_the_tool_has_two_names(
    name: str, drawn: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, written = finished(drawn), Path(drawn["ckpt_dir"]) / "align_bpu.json"
    monkeypatch.setattr("hatlite.config.load", lambda *args: drawn)
    monkeypatch.setattr("hatlite.log.setup", lambda: None)  # it would keep this test's standard error
    monkeypatch.setattr("sys.argv", [name, "--config", "tiny.py", "--json", str(written)])
    capsys.readouterr()
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(TOOLS / name), run_name="__main__")
    steps = align_bpu(run)
    mean = [entry["metrics"]["mAP"] for entry in json.loads(written.read_text(encoding="utf-8"))]
    assert mean == [step.metrics["mAP"] for step in steps]
    assert "| NV12 of the network | " in capsys.readouterr().out


def test_what_is_missing_is_told(drawn: dict[str, Any]) -> None:
    with pytest.raises(StageError, match=r"There is no program .*tiny\.hbir\.\n  Export it first: .*export_hbir.py"):
        align_bpu(Run(drawn))
    stages = [{"name": "float", "kind": "float"}]
    with pytest.raises(StageError, match="lists no stage of kind 'int_infer', so there is no program"):
        align_bpu(Run({**drawn, "stages": stages}))


def test_a_data_set_without_files_is_refused(tiny_config: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"starts from the bytes of image files, and TinyDataset has none; give the c"
    ):
        align_bpu(Run(tiny_config))
