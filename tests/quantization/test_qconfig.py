"""Rules of the qconfig are matched by module path; what matches nothing is an error."""

import math

import pytest
from torch import nn

from hatlite.errors import MarchError, QuantizationError
from hatlite.nn import Add
from hatlite.quantization import QConfig
from hatlite.quantization.weight_scales import WeightRule
from hatlite.registry import OBJECT_REGISTRY


def test_the_first_matching_rule_wins_over_the_default() -> None:
    rules = {"head.*": dict(dtype="int16"), "*": dict(observer="mse")}
    qconfig = QConfig(activation=dict(observer="percentile"), rules=rules)
    assert (qconfig.of("head.cls").dtype, qconfig.of("head.cls").observer) == ("int16", "percentile")
    assert (qconfig.of("neck.add").dtype, qconfig.of("neck.add").observer) == ("int8", "mse")


def test_scales_are_those_of_the_march() -> None:
    assert (QConfig().grid, QConfig(march="tidl").grid) == ("float32", "pow2")
    assert QConfig(march="tidl", weight_scales="depthwise").arithmetic.weight_scales == ("depthwise",)
    with pytest.raises(QuantizationError, match=r"\['scale_grid'\] is 'float32'; the march 'tidl' has 'pow2'. Leave"):
        QConfig(scale_grid="float32", march="tidl")
    with pytest.raises(
        QuantizationError, match="'depthwise'; the march 'bayes-sim' has 'channel'. Leave weight_scales"
    ):
        QConfig(weight_scales="depthwise")
    with pytest.raises(MarchError, match="march is 'tidy', which is not registered"):
        QConfig(march="tidy")


def test_weights_have_the_type_of_their_rule() -> None:
    rules = {"neck.*": dict(weight_dtype="int8", observer="kl"), "head.add": dict(dtype="int16")}
    qconfig = QConfig(weight=dict(dtype="int16"), rules=rules, march="tidl")
    assert qconfig.arithmetic.weight_dtypes == qconfig.arithmetic_of("head.add").weight_dtypes == ("int16",)
    assert qconfig.arithmetic_of("neck.conv", nn.Conv2d).weight_dtypes == ("int8",)
    assert (qconfig.of("neck.conv").observer, qconfig.of("neck.conv").dtype) == ("kl", "int8")
    assert QConfig(march="tidl").arithmetic_of("any").weight_dtypes == ("int8", "int16"), "the march's first one"


def test_the_first_and_last_have_16_bits_unless_a_rule_says_otherwise() -> None:
    rules = {"head.cls": dict(learn=True), "head.reg": dict(dtype="int8", weight_dtype="int8")}
    qconfig = QConfig(activation=dict(bits=4), first_and_last="int16", rules=rules, march="tidl")
    asked = {path: qconfig.of(path, outer=True) for path in ("head.cls", "head.reg", "stem")}
    assert {path: (rule.dtype, rule.learn) for path, rule in asked.items()} == {
        "head.cls": ("int16", True),
        "head.reg": ("int8", False),
        "stem": ("int16", False),
    }
    wide = [path for path in asked if qconfig.arithmetic_of(path, outer=True).weight_dtypes == ("int16",)]
    assert wide == ["head.cls", "stem"]
    assert (qconfig.of("stem").dtype, qconfig.of("stem").bits) == ("int8", 4)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (dict(weight=dict(dtype="int16")), r"\['weight'\]\['dtype'\]"),
        (dict(first_and_last="int16"), r"\['first_and_last'\]"),
        (dict(rules={"head.*": dict(weight_dtype="int16")}), r"\['rules'\]\['head.\*'\]\['weight_dtype'\]"),
    ],
)
def test_a_march_without_16_bit_weights_says_so(given: dict, place: str) -> None:
    text = rf"^config\['qconfig'\]{place} is 'int16'; the march 'bayes-sim' has weights of int8 only. Leave it out, or"
    with pytest.raises(QuantizationError, match=rf"{text} take the march 'tidl'\.$"):
        QConfig(**given)
    QConfig(**given, march="tidl")


def test_wrong_weights_are_refused_at_once() -> None:
    text = r"\['weight'\]\['dtype'\] is 'int4'; the march 'tidl' has weights of int8 and int16 only. Leave it out\.$"
    with pytest.raises(QuantizationError, match=text):
        QConfig(weight=dict(dtype="int4"), march="tidl")
    with pytest.raises(QuantizationError, match=r"\['weight'\] has unknown keys bits, scale; expected dtype\."):
        QConfig(weight=dict(scale=1.0, bits=4), march="tidl")
    with pytest.raises(QuantizationError, match=r"\['first_and_last'\] is 'int8'; expected 'int16', or leave it out"):
        QConfig(first_and_last="int8", march="tidl")
    with pytest.raises(QuantizationError, match=r"\['activation'\] has weight_dtype, which is not about activations"):
        QConfig(activation=dict(weight_dtype="int16"), march="tidl")
    nothing = QConfig(rules={"*.add": dict(weight_dtype="int16")}, march="tidl")
    with pytest.raises(QuantizationError, match=r"\['rules'\]\['\*.add'\] gives weight_dtype and matches nothing that"):
        nothing.check_matched([("neck.add", Add), ("neck.conv", nn.Conv2d)])


def test_a_rule_that_matches_nothing_is_an_error() -> None:
    modules = [("head.cls", nn.Conv2d), ("neck.add", Add)]
    with pytest.raises(QuantizationError, match=r"\['haed.cls'\] matches no operation of the network") as caught:
        QConfig(rules={"haed.cls": {}}).check_matched(modules)
    assert "Did you mean 'head.cls'?" in str(caught.value)
    with pytest.raises(QuantizationError, match=r"\['type:Conv3d'\] matches no operation") as caught:
        QConfig(rules={"neck.*": {}, "type:Conv3d": {}}).check_matched(modules)
    assert "Did you mean 'type:Conv2d'?" in str(caught.value)


def test_a_rule_may_be_about_a_class_or_its_base() -> None:
    class Own(nn.Conv2d):
        pass

    qconfig = QConfig(rules={"head.*": dict(dtype="int16"), "type:Conv*": dict(observer="min_max")})
    assert qconfig.of("neck.conv", nn.Conv2d).observer == qconfig.of("neck.conv", Own).observer == "min_max"
    assert qconfig.of("neck.add", Add).observer == "mse"
    assert qconfig.of("head.conv", nn.Conv2d).observer == "mse", "the first match wins"
    qconfig.check_matched([("head.add", Add), ("neck.conv", Own)])
    with pytest.raises(QuantizationError, match="no operation"):
        QConfig(rules={"type:conv*": {}}).check_matched([("neck.conv", nn.Conv2d)])


def test_wrong_values_are_refused_at_once() -> None:
    with pytest.raises(QuantizationError, match="dtype is 'int4'; expected one of int8, int16"):
        QConfig(activation=dict(dtype="int4"))
    with pytest.raises(
        QuantizationError, match="no observer 'mes'; known are kl, mean_percentile, min_max, mix, mse, percentile"
    ):
        QConfig(rules={"*": dict(observer="mes")})
    with pytest.raises(QuantizationError, match="unknown keys obsever; expected dtype, observer, scale, absmax, learn"):
        QConfig(activation=dict(obsever="mse"))


def test_what_is_wrong_with_a_rule_names_its_pattern() -> None:
    text = r"^config\['qconfig'\]\['rules'\]\['neck.\*'\] has unknown keys weight_dtyp; expected dtype, .*"
    with pytest.raises(QuantizationError, match=text + r", weight_dtype\.\n  Did you mean 'weight_dtype'\?$"):
        QConfig(rules={"head.*": {}, "neck.*": dict(weight_dtyp="int16")})
    with pytest.raises(QuantizationError, match=r"^config\['qconfig'\]\['activation'\] has unknown keys obsever"):
        QConfig(activation=dict(obsever="mse"), rules={"neck.*": {}})
    with pytest.raises(QuantizationError, match=r"\['rules'\]\['neck.\*'\]: An activation's bits is 40; expected "):
        QConfig(rules={"neck.*": dict(bits=40)})


def test_an_observer_takes_parameters() -> None:
    rules = {"head.*": dict(observer=dict(name="percentile", percentile=99.9)), "neck.*": dict(observer="kl")}
    qconfig = OBJECT_REGISTRY.build(dict(type="QConfig", rules=rules))
    assert qconfig.of("head.cls").observer == dict(name="percentile", percentile=99.9)
    assert (qconfig.of("neck.add").observer, qconfig.of("stem").observer) == ("kl", "mse")
    with pytest.raises(QuantizationError, match="Observer 'mse' has no parameter 'percentile'; it takes bins"):
        QConfig(rules={"*": dict(observer=dict(name="mse", percentile=99.9))})


@pytest.mark.parametrize("value", [0, 0.0, -0.5, math.inf, math.nan, 1e-40, 1e39, 10**40, True, "1/128"])
@pytest.mark.parametrize("key", ["scale", "absmax"])
def test_a_fixed_scale_is_a_number_that_float32_holds(key: str, value: object) -> None:
    with pytest.raises(
        QuantizationError, match=rf"\['quant'\]: An activation's {key} is .*; expected a finite number above 0 that"
    ):
        QConfig(rules={"quant": {key: value}})


def test_a_scale_is_fixed_once_and_where_it_belongs() -> None:
    with pytest.raises(QuantizationError, match=r"scale 0.5 and absmax 6.0, which both fix its scale; give one"):
        QConfig(rules={"quant": dict(scale=0.5, absmax=6.0)})
    with pytest.raises(QuantizationError, match="cannot be fixed and learned; give scale or learn=True"):
        QConfig(rules={"quant": dict(scale=0.5, learn=True)})
    with pytest.raises(QuantizationError, match=r"\['activation'\] gives absmax to every activation; give it in rules"):
        QConfig(activation=dict(absmax=6.0))
    rule = QConfig(activation=dict(learn=True), rules={"quant": dict(absmax=6.0)}).of("quant")
    assert (rule.learn, rule.fixed_scale(255)) == (False, 6.0 / 255)


def test_wrong_values_of_the_whole_network_are_refused_at_once() -> None:
    with pytest.raises(QuantizationError, match=r"learn is 'yes'; expected True or False"):
        QConfig(activation=dict(learn="yes"))
    with pytest.raises(
        QuantizationError, match=r"\['scale_grid'\] is 'pow3'; expected one of float32, pow2\.\n  Did you"
    ):
        QConfig(scale_grid="pow3")


@pytest.mark.parametrize(("key", "freeze_key"), [("bn", "bn_freeze_epoch"), ("ranges", "range_freeze_epoch")])
def test_what_moves_in_qat_is_said_in_known_words(key: str, freeze_key: str) -> None:
    with pytest.raises(QuantizationError, match=rf"\['{key}'\] is 'frozen'; expected 'freeze' or 'train'"):
        QConfig(**{key: "frozen"})
    assert getattr(QConfig(**{key: "train", freeze_key: "half"}), freeze_key) == "half"
    for wrong in ({freeze_key: 2}, *({key: "train", freeze_key: epoch} for epoch in (0, "third", True, 1.5))):
        with pytest.raises(
            QuantizationError,
            match=rf"\['{freeze_key}'\] is .* with {key}='.*'; expected 1 or more epochs, or 'half', and {key}='train'",
        ):
            QConfig(**wrong)


def test_a_scale_is_learned_or_follows_its_batches() -> None:
    for learned in (dict(activation=dict(learn=True)), dict(rules={"neck.*": dict(learn=True)})):
        with pytest.raises(QuantizationError, match=r"ranges='train' and learn=True, which both move scales; leave"):
            QConfig(ranges="train", **learned)


def test_kernels_of_codes_and_their_choices() -> None:
    qconfig = QConfig(march="gti5801", rules={"head.*": dict(weight_dtype="int8")})
    assert qconfig.arithmetic_of("neck.conv").weight_dtypes[0] == "kernel3"
    assert qconfig.arithmetic_of("head.conv").weight_dtypes == ("int8",)
    assert qconfig.weight_rule == WeightRule("mean", "weights", False)
    chosen = QConfig(march="gti5801", weight=dict(dtype="kernel3", step="mse", shift="codes", shift_hysteresis=True))
    assert chosen.weight_rule == WeightRule("mse", "codes", True)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (dict(weight=dict(step="median")), r"\['weight'\]\['step'\] is 'median'; expected 'mean' or 'mse'"),
        (dict(weight=dict(shift=3)), r"\['weight'\]\['shift'\] is 3; expected 'weights' or 'codes'"),
        (dict(weight=dict(shift_hysteresis=1)), r"\['shift_hysteresis'\] is 1; expected False or True"),
        (dict(weight=dict(bits=3)), "unknown keys bits; expected dtype, step, shift, shift_hysteresis"),
        (dict(activation=dict(bits=6)), r"\['activation'\] asks for 6 bits of int8; the march 'gti5801' has 5\. Leave"),
        (dict(rules={"a": dict(dtype="int16", bits=12)}), r"asks for 12 bits of int16; the march 'gti5801' has 10\."),
        (dict(weight=dict(dtype="int16")), "the march 'gti5801' has weights of kernel3 and int8 only"),
        (dict(march="tidl", weight=dict(step="mse")), "unknown keys step; expected dtype"),
    ],
)
def test_what_gti5801_does_not_have_is_refused(settings: dict, text: str) -> None:
    with pytest.raises(QuantizationError, match=text):
        QConfig(**{"march": "gti5801", **settings})
