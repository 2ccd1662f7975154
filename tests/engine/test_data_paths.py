"""Data that is not there: the same sentence from everything that needs it, before anything is built."""

import pytest

from hatlite.engine import Run, chosen_pictures, compare_pictures, predict_stage
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.parts import build_loop, example_image
from hatlite.errors import DataNotFoundError

WAYS = {
    "predict": lambda run: predict_stage(run, "float"),
    "train": lambda run: build_loop(run, run.stage("float")),
    "an example": lambda run: example_image(run, None),
    "infer --use-dataset": lambda run: chosen_pictures(run, None, [0]),
    "compare": lambda run: compare_pictures(run, ["float"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_sentence_wherever_a_path_is_met(tiny_config, way):
    tiny_config["val_data_loader"]["dataset"] |= {"ann_file": "/nowhere/a.json"}
    text = (
        r"^config\['val_data_loader'\]\['dataset'\]\['ann_file'\] is '/nowhere/a.json', which does not exist here; "
        r"put the data there, or set it with --opts\."
    )
    with pytest.raises(DataNotFoundError, match=text):
        WAYS[way](Run(tiny_config))


@pytest.mark.parametrize(
    ("key", "path", "way"),
    [
        ("meta_file", "data/meta/x_train.txt", "make it with tools/voc_to_meta.py"),
        ("data_path", "data/train_lmdb", "pack it with tools/mscoco_packer.py"),
        ("img_path", "data/x/JPEGImages", "put the data there"),
    ],
)
def test_it_says_how_the_data_come_about(tiny_config, key, path, way):
    tiny_config["val_data_loader"]["dataset"] |= {key: f"/nowhere/{path}"}
    with pytest.raises(DataNotFoundError, match=rf"\['{key}'\] is '/nowhere/{path}', .* here; {way}, or set it"):
        predict_stage(Run(tiny_config), "float")


def test_metrics_name_data_too(tiny_config):
    tiny_config["val_metrics"] = [{"type": "MeanScore", "ann_file": "/nowhere/a.json"}]
    with pytest.raises(
        DataNotFoundError, match=r"^config\['val_metrics'\]\[0\]\['ann_file'\] is '/nowhere/a.json', wh"
    ):
        predict_stage(Run(tiny_config), "float")


def test_what_is_not_built_may_be_missing(tiny_config):
    run = Run({**tiny_config, "other": {"data_path": "/nowhere"}})
    assert build_on_data(run, {"type": "MeanScore"}, "['val_metrics']")
    with pytest.raises(
        DataNotFoundError, match=r"2 problems in the config CONFIG:\n- config\['other'\]\['data_path'\] is '/no"
    ):
        build_on_data(run, {"data_path": "/nowhere", "sets": [{"img_path": "/else"}]}, "['x']")
