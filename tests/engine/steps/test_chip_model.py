import pytest

from hatlite.engine.host_facts import host_facts
from hatlite.engine.steps.chip_model import step_to_convert
from hatlite.engine.steps.words import read_words
from hatlite.errors import CheckpointError, ConfigError, StageError


def asked(config, line, checkpoint=None):
    return step_to_convert(str(config), read_words(line.split()), checkpoint)


def test_nothing_said(step_config):
    assert asked(step_config, "")[1] == {}


def test_keys_of_the_converter(step_config, leave):
    best = leave("qat_31-checkpoint-best")
    run, arguments = asked(step_config, "best-ckpt-path checkpoint/step4/best.pth out-model-path a/b.model dump-mode 1")
    assert arguments == {"checkpoint": run.checkpoint("qat_31", "best"), "out": "a/b.model", "learning": "all"}
    assert asked(step_config, "dump-mode false")[1] == {}
    last = leave("qat_31-checkpoint-last")
    assert asked(step_config, f"best-ckpt-path {best}", str(last))[1] == {"checkpoint": last}


def test_keys_of_the_config(step_config):
    assert asked(step_config, "image-format YUV")[0].config["image_format"] == "YUV"
    run, _ = asked(step_config, "conf-thresh 0.5 nms-thresh 0.3")
    assert host_facts(run)["thresholds"] == {"conf_thresh": 0.5, "nms_thresh": 0.3}
    assert run.config["model"]["post_process"] == {"type": "GridDecoder"}


@pytest.mark.parametrize(
    ("line", "error", "text"),
    [
        (
            "learning-rate 1e-3",
            ConfigError,
            "learning-rate has nothing to do: a conversion trains nothing; leave it out",
        ),
        ("cap-txt-path a.txt", ConfigError, "cap-txt-path has nothing to do: it lies beside the model; out-model-path"),
        ("dump-mode maybe", ConfigError, "dump-mode is 'maybe'; expected true or false"),
        ("image-sise 448", ConfigError, "image-sise is no key of the toolkit"),
        ("best-ckpt-path none.pth", CheckpointError, "none.pth: there is no such file"),
        ("best-ckpt-path checkpoint/step0/best.pth", StageError, "step 0 is where nothing has been trained yet"),
        ("best-ckpt-path checkpoint/step4/best.pth", StageError, "--stage qat_31"),
    ],
)
def test_what_cannot_be_asked(step_config, line, error, text):
    with pytest.raises(error, match=text):
        asked(step_config, line)
