"""What infer_cfg and the command line say about pictures."""

from pathlib import Path

import pytest
from spots import spot_picture, spot_run

from hatlite.analysis import DetViz
from hatlite.engine import Run, chosen_pictures, infer_images, visualizer
from hatlite.engine.infer_settings import infer_transforms
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"), last="float")


def with_cfg(run, **infer_cfg):
    return Run({**run.config, "infer_cfg": infer_cfg})


def test_files_are_named_on_the_command_line_or_in_the_config(run):
    assert chosen_pictures(run, "img:a.jpg,imgs:b.png", None) == [Path("a.jpg"), Path("b.png")]
    assert chosen_pictures(with_cfg(run, infer_inputs={"img": "c.jpg"}), None, None) == [Path("c.jpg")]
    assert chosen_pictures(with_cfg(run, infer_inputs={"img": "c.jpg"}), "a.jpg", None) == [Path("a.jpg")]


@pytest.mark.parametrize(
    ("generated", "indices", "names"),
    [
        (None, [2, 0], ["3.png", "1.png"]),
        (None, [], ["1.png"]),
        ({"sample_idx": 1}, [], ["2.png"]),
        ({"sample_idx": range(2)}, None, ["1.png", "2.png"]),
        ({"sample_idx": [2]}, [0], ["1.png"]),
    ],
)
def test_pictures_of_a_data_set_are_chosen_by_index(run, generated, indices, names):
    run = run if generated is None else with_cfg(run, gen_inputs_cfg=generated)
    assert [Path(sample["img_name"]).name for sample in chosen_pictures(run, None, indices)] == names


def test_the_data_set_may_be_another_one(run):
    dataset = {**run.config["val_data_loader"]["dataset"], "transforms": []}
    without = Run({**with_cfg(run, gen_inputs_cfg={"dataset": dataset}).config, "val_data_loader": {}})
    assert (chosen_pictures(without, None, [1])[0]["img"] == spot_picture(16, 0)).all()


@pytest.mark.parametrize(
    ("infer_cfg", "text", "indices", "sentence"),
    [
        ({}, None, None, "There is no picture to look at; give --model-inputs img:PATH, or --use-dataset INDEX."),
        ({}, "img:a.jpg", [], "--model-inputs and --use-dataset contradict one another; leave one out."),
        ({}, None, [3], "The data set has no picture 3; it has 3, counted from 0."),
        ({"transform": []}, "a.jpg", None, "config['infer_cfg'] has no key 'transform'; it takes model, infer_inputs,"),
        ({"transforms": {}}, "a.jpg", None, "config['infer_cfg']['transforms'] is {}; expected a list."),
        ({"gen_inputs_cfg": {"sample_idx": []}}, None, [], "['sample_idx'] is empty; name a picture, counted from 0."),
        ({"gen_inputs_cfg": {"sample_idx": "all"}}, None, [], "['sample_idx'] is 'all'; expected a whole number or a"),
    ],
)
def test_what_cannot_be_chosen(run, infer_cfg, text, indices, sentence):
    with pytest.raises(ConfigError) as caught:
        chosen_pictures(with_cfg(run, **infer_cfg), text, indices)
    assert sentence in str(caught.value)


def test_a_data_set_is_needed_to_take_pictures_from(run):
    with pytest.raises(ConfigError, match=r"config\['val_data_loader'\]\['dataset'\] is missing, from which"):
        chosen_pictures(Run({**run.config, "val_data_loader": {}}), None, [0])


def test_what_draws_is_the_configs_and_the_command_line_has_the_last_word(run):
    shown = with_cfg(run, viz_func={"type": "DetViz", "score_threshold": 0.25, "is_plot": True})
    assert visualizer(run).score_threshold == 0.5
    assert visualizer(shown).score_threshold == 0.25
    assert visualizer(shown, 0.75).score_threshold == 0.75
    with pytest.raises(ConfigError, match=r"config\['infer_cfg'\]\['viz_func'\] is a COCODetectionMetric; expected"):
        visualizer(with_cfg(run, viz_func={"type": "COCODetectionMetric"}))
    with pytest.raises(ConfigError, match=r"The score threshold is 7; expected a number in 0…1"):
        DetViz(7)


def test_transforms_of_infer_cfg_come_before_those_of_validation(run):
    assert [type(one).__name__ for one in infer_transforms(run)] == ["Resize", "Pad", "ToTensor", "Normalize"]
    own = with_cfg(run, transforms=run.config["val_data_loader"]["dataset"]["transforms"][1:])
    assert [type(one).__name__ for one in infer_transforms(own)] == ["Pad", "ToTensor", "Normalize"]


def test_the_model_may_be_another_one(run):
    other = with_cfg(run, model={"type": "SpotDetector"})
    other.config["model"] = {"type": "Nothing"}
    assert len(infer_images(other, "float", [spot_picture(8, 8)])[0][1]) == 1


def test_pictures_need_transforms(run):
    with pytest.raises(ConfigError, match=r"config\['val_data_loader'\] has no data set with transforms"):
        infer_transforms(Run({**run.config, "val_data_loader": {}}))


def test_transforms_of_inner_data_sets_come_first(run, monkeypatch):
    monkeypatch.setattr(OBJECT_REGISTRY, "build", lambda config, path: (config, path))
    inner, other = {"transforms": ["a"]}, {"transforms": ["other"]}
    dataset = {"datasets": [{"dataset": inner, "times": 2}, other], "transforms": ["b", "c"]}
    found = infer_transforms(Run({**run.config, "val_data_loader": {"dataset": dataset}}))
    assert [one for one, _ in found] == ["a", "b", "c"]
    assert found[0][1] == "['val_data_loader']['dataset']['datasets'][0]['dataset']['transforms'][0]"
