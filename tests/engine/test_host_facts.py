import pytest

from hatlite.engine import Run
from hatlite.engine.host_facts import host_facts
from hatlite.errors import ConfigError


def run_of(*transforms, **entries):
    loader = {"dataset": {"transforms": list(transforms)}}
    return Run({"task_name": "tiny", "val_data_loader": loader, **entries})


@pytest.mark.parametrize("image_format", ["BGR", "RGB", "YUV"])
def test_pixels_are_what_validation_makes_of_them(image_format):
    tensor, bits = {"type": "ToTensor", "image_format": image_format}, {"type": "QuantizePixels", "bits": 5}
    assert host_facts(run_of(tensor, bits)) == {"image_format": image_format, "input_bits": 5}
    assert host_facts(run_of(tensor)) == {"image_format": image_format}
    assert host_facts(run_of()) == host_facts(Run({"task_name": "tiny"})) == {}


def test_pictures_that_keep_their_shape_are_filled_up():
    resize = {"type": "Resize", "img_scale": (28, 28)}
    pad = {"type": "Pad", "size": (28, 28), "value": [1, 2, 3]}
    assert host_facts(run_of({**resize, "keep_ratio": True}, pad)) == {"letterbox": [1, 2, 3]}
    assert host_facts(run_of({**resize, "keep_ratio": False}, pad)) == host_facts(run_of(pad)) == {}


def test_thresholds_are_names_of_the_config():
    """Not those of the decoder, with which evaluation sees nearly everything."""
    decoder = {"post_process": {"conf_thresh": 0.01, "nms_thresh": 0.5}}
    assert host_facts(run_of(model=decoder)) == {}
    found = host_facts(run_of(model=decoder, conf_thresh=0.48, prob_thresh=1, nms_thresh=None))
    assert found == {"thresholds": {"conf_thresh": 0.48, "prob_thresh": 1.0}}


@pytest.mark.parametrize("wrong", [1.5, "0.4", True])
def test_a_threshold_that_is_none(wrong):
    with pytest.raises(ConfigError, match=f"config.'nms_thresh'. is {wrong!r}; expected a number from 0 to 1"):
        host_facts(run_of(nms_thresh=wrong))
