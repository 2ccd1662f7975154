"""Where the size of the image comes from, and what is wrong with calops_cfg."""

import pytest
import torch

from hatlite.engine import Run, complexity_of
from hatlite.errors import CaptureError, ConfigError

MODEL = {"type": "MobileNetV2", "width_mult": 0.25}
RUN = {"task_name": "counted", "model": MODEL}


def shape_of(config: dict, *args: object) -> tuple[int, ...]:
    return complexity_of(Run(config, source="counted.py"), *args).shape


def test_the_command_line_comes_before_calops_cfg_and_that_before_deploy_inputs() -> None:
    inputs = {**RUN, "deploy_inputs": {"img": torch.zeros(1, 3, 32, 64)}}
    config = {**inputs, "calops_cfg": {"method": "hook", "input_shape": (1, 3, 64, 32)}}
    assert shape_of(inputs) == (1, 3, 32, 64)
    assert shape_of({**inputs, "calops_cfg": {"method": "hook"}}) == (1, 3, 32, 64)
    assert shape_of(config) == (1, 3, 64, 32)
    assert shape_of({**RUN, "calops_cfg": {"input_shape": "1,3,64,32"}}) == (1, 3, 64, 32)
    assert shape_of(config, (2, 3, 32, 32)) == (2, 3, 32, 32)


def test_deploy_model_comes_before_model() -> None:
    config = {**RUN, "deploy_model": {**MODEL, "include_top": True}}
    assert "linear" in complexity_of(Run(config), (1, 3, 32, 32)).by_kind()
    assert "linear" not in complexity_of(Run(RUN), (1, 3, 32, 32)).by_kind()


def test_the_method_of_the_command_line_comes_first() -> None:
    config = {**RUN, "calops_cfg": {"method": "hook"}}
    assert complexity_of(Run(config), (1, 3, 32, 32)).total()
    with pytest.raises(CaptureError, match="returns no dict of tensors"):  # which a hook does not mind
        complexity_of(Run(config), (1, 3, 32, 32), "fx")


def test_without_a_size_the_flag_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r'^counted\.py has neither calops_cfg nor deploy_inputs.* --input-shape "1,3'
    ):
        shape_of(RUN)


def test_calops_cfg_is_checked() -> None:
    text = r"^config\['calops_cfg'\] has no key 'input_shap'; it takes method, input_shape\.\n  Did you mean"
    with pytest.raises(ConfigError, match=text):
        shape_of({**RUN, "calops_cfg": {"input_shap": (1, 3, 32, 32)}})
    with pytest.raises(ConfigError, match=r"^config\['calops_cfg'\] is 'hook'; expected a dict with method, input_sh"):
        shape_of({**RUN, "calops_cfg": "hook"})
    with pytest.raises(ConfigError, match=r"^config\['calops_cfg'\]\['method'\] is 'jit'; expected "):
        shape_of({**RUN, "calops_cfg": {"method": "jit"}})
    with pytest.raises(ConfigError, match=r"^input shape is '1,3,32'; expected four whole numbers N,C,H,W"):
        shape_of({**RUN, "calops_cfg": {"input_shape": (1, 3, 32)}})


def test_a_config_without_a_model_says_so() -> None:
    with pytest.raises(ConfigError, match=r"^counted\.py sets no model; name the detector's dict `model`\.$"):
        shape_of({"task_name": "counted"}, (1, 3, 32, 32))
