import dataclasses
import re

import pytest

from hatlite.engine.steps.keys import KEYS, SCHEDULE_KEYS, key_table, known_key
from hatlite.engine.steps.schedule import SCHEDULES
from hatlite.engine.steps.words import EXPECTED
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

TOOLKITS = """
step cal image_size image_format voc_classes ds_name checkpoint_path best_save_path last_save_path batch_norm
loss_weights loss_normalizer loss_normalizer_momentum learning_rate lr_momentum weight_decay batch_size num_epochs
num_workers lr_scheduler step_size gamma warmup_epochs grid_size log_freq conf_thresh prob_thresh nms_thresh display
mp4_path model_path chip cap_txt_path best_ckpt_path convert_model_path out_model_path dat_json_path dat_json_448_path
model_json_path model_json_448_path dump_mode edit_gain stride grid_depth chip_depth scale
""".split()


def test_every_key_of_the_toolkit_has_an_answer():
    arguments = {key for _, fields in SCHEDULES.values() for key in fields}
    assert set(KEYS) == {*TOOLKITS, *arguments}
    assert set(SCHEDULE_KEYS) == {"lr_scheduler", "warmup_epochs", *arguments}
    assert all(bool(key.paths) != bool(key.instead) and key.takes in EXPECTED for key in KEYS.values())


def test_schedules_have_the_fields_that_the_table_names():
    for kind, fields in SCHEDULES.values():
        names = {field.name for field in dataclasses.fields(OBJECT_REGISTRY.get(kind))}
        assert set(fields.values()) <= names
        for key, field in fields.items():
            assert field in KEYS[key].note


def test_the_table_has_a_line_for_each_key():
    head, *lines = key_table().splitlines()
    assert head.split() == ["key", "takes", "in", "the", "config"]
    assert [line.split()[0].replace("-", "_") for line in lines] == list(KEYS)
    assert re.search(r"^learning-rate +a number +\{stage\}_trainer\.optimizer\.lr$", key_table(), re.MULTILINE)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "lerning_rate",
            "lerning-rate is no key of the toolkit; --keys prints them all.\n  Did you mean 'learning-rate'?",
        ),
        ("step", "step is nothing that training can be given here: it is a flag here: --step N."),
        ("grid_size", "grid-size is nothing that training can be given here: it is 14 for both image sizes."),
    ],
)
def test_keys_without_a_place_are_told(key, said):
    with pytest.raises(ConfigError) as told:
        known_key(key)
    assert str(told.value) == said


def test_keys_that_train_are_those_of_a_trainer():
    assert KEYS["gamma"].trains and not KEYS["batch_size"].trains
