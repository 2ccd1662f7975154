"""GNetDet.yaml: what it may say, and what it must agree with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hatlite.engine.chip_settings import KEYS, THRESHOLDS, ChipSettings, find_settings, read_settings, settings_text
from hatlite.errors import ConfigError
from hatlite.program import IntProgram, Port, TensorType

SHIPPED = """
VERSION: 1.0
CHIP: 5801
MODEL:
  NAME: GNetDet
  INPUT: {SIZE: 28, FORMAT: 0}
  OUTPUT: {CAP: 1.1554}
OPTS: {CONF_THRESH: 0.53, PROB_THRESH: .5, NMS_THRESH: 0.4}
DATA: {NUM_CLASSES: 2, CLASS_NAMES: [cat, dog]}
"""
MODEL = Path("out.model")
SPOKEN = {"image_format": "BGR", "caps": [3.0, 1.155384], "classes": ["cat", "dog"]}


def program(**metadata) -> IntProgram:
    """Return the least that settings ask of a program: its image, its output, and what it says of itself."""
    values = {"img": TensorType((28, 28, 3), "uint8", 1.0), "out": TensorType((14, 14, 12), "uint8", 1.0)}
    ports = Port("img", "img", "uint8", 1.0), Port("predictions_s2", "out", "uint8", 1.0)
    return IntProgram("t", "gti5801", ports[:1], ports[1:], (), values, metadata)


@pytest.fixture
def read(tmp_path):
    def call(text: str) -> ChipSettings:
        (tmp_path / "GNetDet.yaml").write_text(text, encoding="utf-8")
        return read_settings(tmp_path / "GNetDet.yaml")

    return call


def test_every_key_is_read(read):
    said = read(SHIPPED)
    assert said.thresholds() == {"conf_thresh": 0.53, "prob_thresh": 0.5, "nms_thresh": 0.4}
    said.check(program(**SPOKEN), MODEL)
    said.check(program(), MODEL)  # a model that knows nothing of itself believes what is said
    assert said.classes(program()) == ("cat", "dog") and said.image_format(program()) == "BGR"


@pytest.mark.parametrize("text", ["", "# nothing\n", "OPTS: {}"])
def test_everything_may_be_left_out(read, text):
    said = read(text)
    said.check(program(**SPOKEN), MODEL)
    assert said.thresholds() == {} and said.classes(program()) == () and said.image_format(program()) == "BGR"
    assert said.classes(program(**SPOKEN)) == ("cat", "dog")


@pytest.mark.parametrize(
    ("value", "meant"), [("0", "BGR"), ("1", "YUV"), ("Y", "YUV"), ("YUV", "YUV"), ("'1'", "YUV"), ("RGB", "RGB")]
)
def test_formats(read, value, meant):
    said = read(f"MODEL: {{INPUT: {{FORMAT: {value}}}}}")
    assert said.image_format(program()) == meant
    said.check(program(image_format=meant), MODEL)


def test_the_command_line_counts_before_the_file(read):
    said = read(SHIPPED).overridden({"OPTS.CONF_THRESH": ("--conf-thresh", 0.2), "MODEL.INPUT.SIZE": ("--x", None)})
    assert said.thresholds() == {"conf_thresh": 0.2, "prob_thresh": 0.5, "nms_thresh": 0.4}
    said.check(program(**SPOKEN), MODEL)
    larger = said.overridden({"MODEL.INPUT.SIZE": ("--input-size", 224)})
    with pytest.raises(ConfigError, match=r"^--input-size is 224, but out\.model takes images of 28×28; leave"):
        larger.check(program(**SPOKEN), MODEL)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("SIZE: 28", "SIZE: 448", r"INPUT\.SIZE is 448, but out\.model takes images of 28×28; leave the size out"),
        ("FORMAT: 0", "FORMAT: 1", r"INPUT\.FORMAT is 1, but out\.model was trained on BGR; leave the format out"),
        ("1.1554", "1.3", r"OUTPUT\.CAP is 1\.3, but out\.model has the cap 1\.15538; leave CAP out"),
        ("CLASSES: 2", "CLASSES: 20", r"NUM_CLASSES is 20, but out\.model has 2 classes: cat, dog; leave"),
        ("dog]", "cow]", r"CLASS_NAMES is cat, cow, but out\.model has 2 classes: cat, dog; leave them out"),
    ],
)
def test_what_the_model_knows_otherwise_is_told(read, old, new, sentence):
    with pytest.raises(ConfigError, match=rf"GNetDet\.yaml: \w+\.{sentence}"):
        read(SHIPPED.replace(old, new)).check(program(**SPOKEN), MODEL)


def test_names_that_the_model_lacks_are_as_many_as_its_outputs(read):
    with pytest.raises(ConfigError, match=r"CLASS_NAMES is cat, but out\.model has 2 classes; leave them out"):
        read("DATA: {CLASS_NAMES: [cat]}").check(program(), MODEL)


def test_several_differences_are_told_together(read):
    said = read(SHIPPED.replace("SIZE: 28", "SIZE: 448").replace("1.1554", "2"))
    with pytest.raises(ConfigError, match=r"(?s)^2 problems in what is said about out\.model:.*SIZE is 448.*CAP is 2"):
        said.check(program(**SPOKEN), MODEL)


@pytest.mark.parametrize("name", ["5801", "'5801'", "GTI5801", "SIT501"])
def test_names_of_the_chip(read, name):
    read(f"CHIP: {name}").check(program(**SPOKEN), MODEL)


def test_another_chip(read):
    with pytest.raises(ConfigError, match=r"CHIP is 5801, but out\.model is made for bernoulli2; take a model"):
        read("CHIP: 5801").check(replace(program(), march="bernoulli2"), MODEL)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("OPTS: {CONF_TRESH: 0.5}", r"has no key OPTS\.CONF_TRESH; it may have(.|\n)*mean 'OPTS\.CONF_THRESH'\?"),
        ("OPTS: {CONF_THRESH: 1.5}", r"OPTS\.CONF_THRESH is 1\.5; expected a number from 0 to 1, such as 0\.53"),
        ("OPTS: {NMS_THRESH: yes}", r"OPTS\.NMS_THRESH is True; expected a number"),
        ("OPTS: {PROB_THRESH: .nan}", r"OPTS\.PROB_THRESH is nan; expected a number"),
        ("OPTS: 0.5", r"OPTS is 0\.5; expected a section with CONF_THRESH, PROB_THRESH, NMS_THRESH"),
        ("MODEL: {INPUT: 448}", r"MODEL\.INPUT is 448; expected a section with SIZE, FORMAT"),
        ("MODEL: {INPUT: {SIZE: big}}", r"MODEL\.INPUT\.SIZE is 'big'; expected a whole number of pixels"),
        ("MODEL: {INPUT: {FORMAT: 2}}", r"MODEL\.INPUT\.FORMAT is 2; expected 0 or BGR, 1, Y or YUV, or RGB"),
        ("MODEL: {INPUT: {FORMAT: [0]}}", r"MODEL\.INPUT\.FORMAT is \[0\]; expected 0 or BGR"),
        ("MODEL: {OUTPUT: {CAP: high}}", r"MODEL\.OUTPUT\.CAP is 'high'; expected a number, such as 1\.1554"),
        ("DATA: {NUM_CLASSES: 0}", r"DATA\.NUM_CLASSES is 0; expected a whole number"),
        ("DATA: {CLASS_NAMES: [yes, no]}", r"DATA\.CLASS_NAMES is \[True, False\]; expected a list of names; put quot"),
        ("CHIP: 2801", r"CHIP is 2801; expected 5801 or SIT501"),
        ("[1, 2]", r"GNetDet\.yaml is \[1, 2\]; expected a section with VERSION, CHIP, MODEL, OPTS, DATA"),
        ("OPTS: {", r"GNetDet\.yaml is no YAML: while parsing"),
    ],
)
def test_a_file_that_cannot_be_used(read, text, sentence):
    with pytest.raises(ConfigError, match=rf"GNetDet\.yaml.*{sentence}|^\S*{sentence}"):
        read(text)


def test_several_mistakes_are_told_together(read):
    with pytest.raises(ConfigError, match=r"(?s)^2 problems in .*CHIP is 2801.*NUM_CLASSES is 0"):
        read("CHIP: 2801\nDATA: {NUM_CLASSES: 0}")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file or directory; name a GNetDet"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.yaml is no YAML"):
        read_settings(tmp_path / "bytes.yaml")


def test_the_file_beside_the_model_is_found_before_that_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model" / "out.model"
    model.parent.mkdir()
    assert find_settings(model) is None
    Path("GNetDet.yaml").touch()
    assert find_settings(model) == Path("GNetDet.yaml")
    (model.parent / "GNetDet.yaml").touch()
    assert find_settings(model) == model.parent / "GNetDet.yaml"


@given(cap=st.floats(0.01, 1000))
def test_a_cap_copied_with_four_digits_is_the_models(cap):
    said = ChipSettings({"MODEL.OUTPUT.CAP": float(f"{cap:.4g}")}, {"MODEL.OUTPUT.CAP": "x"})
    said.check(program(caps=[float(np.float32(cap))]), MODEL)
    with pytest.raises(ConfigError, match="x is .*, but out.model has the cap"):
        said.check(program(caps=[cap * 1.01]), MODEL)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True, max_examples=20)
@given(
    cap=st.floats(1e-6, 1e6),
    names=st.lists(st.text(min_size=1) | st.sampled_from(["no", "12", "~", "a: b", "on", "é"]), min_size=2, max_size=2),
    image_format=st.sampled_from(["BGR", "RGB", "YUV"]),
    chosen=st.dictionaries(st.sampled_from(sorted(THRESHOLDS)), st.floats(0, 1)),
)
def test_what_a_model_says_of_itself_is_read_and_agrees(read, cap, names, image_format, chosen):
    told = program(caps=[1.0, cap], classes=names, image_format=image_format, thresholds=chosen)
    said = read(settings_text(told))
    said.check(told, MODEL)
    assert sorted(said.values) == sorted(KEYS)
    assert said.thresholds() == {**THRESHOLDS, **chosen}
    assert list(said.classes(program())) == names and said.image_format(program()) == image_format


def test_gains_of_channels_are_told():
    told = program(**SPOKEN)
    assert "gains" not in settings_text(told)
    ports = (replace(told.outputs[0], scale=np.linspace(0.5, 1, 12)),)
    assert settings_text(replace(told, outputs=ports)).startswith(
        "# The channels of this output have gains of their own"
    )


def test_a_cap_of_ten_bits_is_the_one_that_decodes(read):
    told = program(**{**SPOKEN, "caps": [1.0, 1023.0]})
    told = replace(told, outputs=(replace(told.outputs[0], dtype="int16"),))
    assert read(settings_text(told)).values["MODEL.OUTPUT.CAP"] == 992
    read(settings_text(told)).check(told, MODEL)
    with pytest.raises(ConfigError, match="CAP is 1023, but out.model has the cap 992;"):
        read("MODEL: {OUTPUT: {CAP: 1023}}").check(told, MODEL)


def test_the_settings_of_a_model_in_full():
    assert settings_text(program(**SPOKEN)) == (
        "VERSION: '1.0'\nCHIP: 5801\nMODEL:\n  NAME: t\n  INPUT:\n    SIZE: 28\n    FORMAT: 0\n  OUTPUT:\n"
        "    CAP: 1.155384\nOPTS:\n  CONF_THRESH: 0.53\n  PROB_THRESH: 0.5\n  NMS_THRESH: 0.4\n"
        "DATA:\n  NUM_CLASSES: 2\n  CLASS_NAMES:\n  - cat\n  - dog\n"
    )
