import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.engine.steps.words import read_value, read_words
from hatlite.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("learning-rate 1e-3 num-epochs 600", {"learning_rate": "1e-3", "num_epochs": "600"}),
        ("learning_rate=1e-3 DS-NAME HT21", {"learning_rate": "1e-3", "ds_name": "HT21"}),
        ("VOC-CLASSES [cat, dog] gamma 0.1", {"voc_classes": "[cat, dog]", "gamma": "0.1"}),
        ("loss-weights=(5, 0.005)", {"loss_weights": "(5, 0.005)"}),
        ("checkpoint-path runs/a=b/best.pth", {"checkpoint_path": "runs/a=b/best.pth"}),
        ("gamma 0.1 gamma 0.2", {"gamma": "0.2"}),
        ("warmup-epochs -1", {"warmup_epochs": "-1"}),
        ("", {}),
    ],
)
def test_keys_and_values_as_the_shell_hands_them_on(line, found):
    assert read_words(line.split()) == found


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("learning-rate", "learning-rate has no value; write learning-rate VALUE or learning-rate=VALUE behind"),
        ("gamma=", "gamma has no value; write gamma VALUE"),
        ("[hyperparameters]", "[hyperparameters] only stands for what may be given there; write a key and a value"),
        ("model.bias=3", "'model.bias=3' is no key; behind the flags stand keys and their values"),
        ("voc-classes [cat, dog", "[cat, dog has no ] at its end"),
    ],
)
def test_words_that_are_no_pairs_are_one_sentence(line, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as told:
        read_words(line.split())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "takes", "value"),
    [
        ("1e-3", "number", 0.001),
        ("3", "number", 3.0),
        ("16", "whole number", 16),
        ("[5,0.005]", "numbers", [5.0, 0.005]),
        ("(16, 20)", "whole numbers", [16, 20]),
        ("7", "whole numbers", [7]),
        ("['cat', \"dog\"]", "names", ["cat", "dog"]),
        ("head", "names", ["head"]),
        ("True", "yes or no", True),
        ("0", "yes or no", False),
        ("[a]/best.pth", "text", "[a]/best.pth"),
    ],
)
def test_values_are_of_the_kind_that_a_key_takes(text, takes, value):
    found = read_value("key", text, takes)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "takes", "said"),
    [
        ("fast", "number", "learning-rate is 'fast'; expected a number."),
        ("true", "number", "learning-rate is 'true'; expected a number."),
        ("1.5", "whole number", "learning-rate is '1.5'; expected a whole number."),
        ("[5,x]", "numbers", "learning-rate is '[5,x]'; expected numbers in brackets, such as [5,0.005]."),
        ("[]", "names", "learning-rate is '[]'; expected names in brackets, such as [WBC,RBC]."),
        ("2", "yes or no", "learning-rate is '2'; expected true or false."),
        ("[1", "number", "learning-rate is '[1'; expected a number."),
    ],
)
def test_other_values_are_one_sentence(text, takes, said):
    with pytest.raises(ConfigError) as told:
        read_value("learning_rate", text, takes)
    assert str(told.value) == said


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1), st.floats(allow_nan=False, allow_infinity=False))
def test_what_repr_writes_is_read_back(whole, number):
    assert read_value("key", repr(whole), "whole numbers") == whole
    assert read_value("key", repr(tuple(whole)), "numbers") == list(map(float, whole))
    assert read_value("key", repr(number), "number") == number
