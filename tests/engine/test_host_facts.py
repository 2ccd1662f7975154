import pytest

from hatlite.engine import Run
from hatlite.engine.host_facts import host_facts, other_pixels, require_trained_pixels
from hatlite.errors import CheckpointError, ConfigError


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


def images(image_format="BGR", size=28, keep_ratio=False, bits=5):
    """Return the run of a config whose images are made so."""
    steps = [{"type": "Resize", "img_scale": (size, size), "keep_ratio": keep_ratio}]
    steps += [{"type": "Pad", "size": (size, size)}, {"type": "ToTensor", "image_format": image_format}]
    return run_of(*steps, *([{"type": "QuantizePixels", "bits": bits}] if bits else []))


def state_of(run, **entries):
    return {"stage": "qat_31", "config": run.info("qat_31").config, **entries}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"image_format": "RGB"}, "its image_format is BGR and not RGB;"),
        ({"size": 14}, "its image_size is 28×28 and not 14×14;"),
        ({"keep_ratio": True}, r"its letterbox is none and not \[114, 114, 114\];"),
        ({"bits": None}, "its input_bits is 5 and not none;"),
        (
            {"image_format": "YUV", "size": 56},
            "its image_format is BGR and not YUV, its image_size is 28×28 and not 56",
        ),
    ],
)
def test_a_checkpoint_of_other_images_is_refused(other, said, tmp_path):
    path, state = tmp_path / "best.pth.tar", state_of(images())
    require_trained_pixels(images(), state, path)
    with pytest.raises(CheckpointError, match=rf"best.pth.tar, of stage 'qat_31', was trained on .*gives: {said}"):
        require_trained_pixels(images(**other), state, path)
    for forgotten in ('{"val_data_loader": {"dataset": {"transforms": [{"type": "mine.Own"}]}}}', "{}", "of old"):
        require_trained_pixels(images(**other), state_of(images(), config=forgotten), path)


def test_networks_of_whole_pixels_are_evaluated_as_anyone_likes(tmp_path):
    require_trained_pixels(images("RGB", 14, bits=None), state_of(images(bits=None)), tmp_path)
    assert other_pixels(host_facts(images(bits=None)), host_facts(images("RGB", bits=None))) == []
    assert other_pixels(host_facts(images()), host_facts(images("RGB"))) == ["image_format is BGR and not RGB"]
