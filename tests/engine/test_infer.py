import numpy as np
import pytest
from spots import spot_picture, spot_run

from hatlite.engine import Run, class_names, infer_images, last_stage, stage_of
from hatlite.errors import CheckpointError, DataError, DataNotFoundError, StageError
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"))


@pytest.mark.parametrize("stage", ["float", "calibration", "int_infer"])
def test_boxes_come_back_in_pixels_of_the_file(run, stage):
    (image, found), (_, nothing) = infer_images(
        run, stage, [run.folder.parent / "2.png", np.zeros((32, 48, 3), "uint8")]
    )
    assert (image == spot_picture(16, 0)).all()
    assert found.boxes.tolist() == [[16, 0, 24, 8]]
    assert found.labels.tolist() == [1]
    assert len(nothing) == 0


def test_integers_see_what_the_fake_quantised_network_sees(run):
    files = [run.folder.parent / f"{i}.png" for i in (1, 2, 3)]
    fake, integer = (infer_images(run, stage, files) for stage in ("calibration", "int_infer"))
    assert [found.scores.tolist() for _, found in fake] == [found.scores.tolist() for _, found in integer]


def test_samples_of_a_data_set_are_taken_as_they_are(run):
    dataset = OBJECT_REGISTRY.build(run.config["val_data_loader"]["dataset"])
    ((image, found),) = infer_images(run, "float", [dataset.load(2)])
    assert (image == spot_picture(40, 24)).all()
    assert found.boxes.tolist() == dataset.load(2)["gt_bboxes"].tolist()


def test_another_checkpoint_may_be_named(run, tmp_path):
    moved = tmp_path / "moved.pth.tar"
    moved.write_bytes(run.checkpoint("float").read_bytes())
    assert len(infer_images(run, "float", [spot_picture(8, 8)], moved)[0][1]) == 1
    assert class_names(run, "float", moved) == ("hole", "spot")


def test_every_stage_knows_its_classes(run):
    for stage in ("float", "calibration", "int_infer"):
        assert class_names(run, stage) == ("hole", "spot")
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*\n  Run this first: python tools/train\.py"):
        class_names(run, "qat")


def test_a_missing_picture_is_told_before_the_stage_is_looked_for(run):
    with pytest.raises(DataNotFoundError, match=r"image .*nowhere\.png does not exist"):
        infer_images(run, "qat", [run.folder / "nowhere.png"])


def test_a_picture_that_does_not_suit_the_transforms(run):
    config = {**run.config, "val_data_loader": {"dataset": {"transforms": [{"type": "Pad", "size": (8, 8)}]}}}
    with pytest.raises(DataError, match=r"Pad: image number 0 is 32×48"):
        infer_images(Run(config), "float", [spot_picture(0, 0)])


def test_a_file_tells_which_stage_it_is_of(run, tmp_path):
    assert stage_of(run, run.checkpoint("calibration")) == "calibration"
    assert stage_of(run, "anything.hbir") == "int_infer"
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*nothing\.pth\.tar"):
        stage_of(run, tmp_path / "nothing.pth.tar")


def test_the_last_stage_that_left_its_file(run, tmp_path):
    assert last_stage(run).name == "int_infer"
    assert last_stage(spot_run(tmp_path, last="float")).name == "float"
    with pytest.raises(StageError, match=r"No stage has left anything in .*new\.\n  Run this first: .*--stage float"):
        last_stage(Run({**run.config, "ckpt_dir": str(tmp_path / "new")}))
