import re

import pytest

from hatlite.engine.qconfig_params import check_params, check_qat_mode, run_qat_mode, with_params
from hatlite.errors import ConfigError, QuantizationError
from hatlite.quantization import QConfig

HAT = {
    "activation_calibration_observer": "percentile",
    "weight_calibration_observer": "min_max",
    "activation_calibration_qkwargs": {"percentile": 99.9},
    "activation_qat_qkwargs": {"averaging_constant": 0},
    "weight_qat_qkwargs": {"averaging_constant": 1},
}


def test_the_parameters_that_configs_of_this_format_give_become_a_qconfig():
    check_params(HAT)
    changed = with_params(QConfig(activation={"dtype": "int16"}), "with_bn", HAT)
    assert changed.activation == {"dtype": "int16", "observer": {"name": "percentile", "percentile": 99.9}}
    assert changed.bn == "train"


def test_without_parameters_it_is_the_same_qconfig():
    qconfig = QConfig()
    assert with_params(qconfig, None, {}) is qconfig


def test_observers_check_their_own_parameters():
    with pytest.raises(QuantizationError, match="stride"):
        with_params(
            QConfig(),
            None,
            {"activation_calibration_observer": "mse", "activation_calibration_qkwargs": {"stride": 1}},
        )
    with pytest.raises(ConfigError, match="has activation_calibration_qkwargs, but no activation_calibration_observer"):
        with_params(QConfig(), None, {"activation_calibration_qkwargs": {"bins": 2}})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"activation_qat_qkwarg": {}},
            "has no key 'activation_qat_qkwarg'; it takes .*\n.*mean 'activation_qat_qkwargs'",
        ),
        (
            {"weight_calibration_observer": "mse"},
            r"\['weight_calibration_observer'\] is 'mse'; the scales of weights come",
        ),
        (
            {"activation_qat_qkwargs": {"averaging_constant": 0.01}},
            r"has averaging_constant=0.01; expected averaging_constant=0, .* on .*ranges='train'.*dict\(learn=True\)",
        ),
        ({"activation_qat_qkwargs": {"bits": 3}}, "has bits=3; expected averaging_constant=0"),
        (
            {"weight_qat_qkwargs": {"averaging_constant": 0}},
            "expected averaging_constant=1, for scales of weights always",
        ),
    ],
)
def test_what_hatlite_does_not_compute_is_told(params, message):
    with pytest.raises(ConfigError, match=message):
        check_params(params)


def test_modes_of_batch_norm():
    for mode in (None, "fuse_bn", "with_bn"):
        check_qat_mode(mode)
    with pytest.raises(ConfigError, match="'with_bn_reverse_fold' has no counterpart: .* use 'with_bn', whose"):
        check_qat_mode("with_bn_reverse_fold")
    with pytest.raises(ConfigError, match="qat_mode is 'fuse_nb'; expected one of fuse_bn, with_bn.\n.*mean 'fuse_bn'"):
        check_qat_mode("fuse_nb")


def test_one_run_has_one_mode():
    pipeline = {"converters": [], "qat_mode": "with_bn"}
    config = {"qat_trainer": {"model_convert_pipeline": pipeline}, "deploy_model_convert_pipeline": pipeline, "lr": 0.1}
    assert run_qat_mode(config) == "with_bn"
    assert run_qat_mode({"qat_trainer": {}}) is None
    config["calibration_trainer"] = {"model_convert_pipeline": {"converters": [], "qat_mode": "fuse_bn"}}
    said = (
        "different qat_mode: 'with_bn' (config['deploy_model_convert_pipeline']) and 'fuse_bn'"
        " (config['calibration_trainer']['model_convert_pipeline'])"
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        run_qat_mode(config)
