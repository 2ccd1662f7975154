"""Rules of the qconfig are matched by module path; what matches nothing is an error."""

import pytest

from hatlite.errors import QuantizationError
from hatlite.quantization import QConfig
from hatlite.registry import OBJECT_REGISTRY


def test_the_first_matching_rule_wins_over_the_default() -> None:
    rules = {"head.*": dict(dtype="int16"), "*": dict(observer="mse")}
    qconfig = QConfig(activation=dict(observer="percentile"), rules=rules)
    assert (qconfig.of("head.cls").dtype, qconfig.of("head.cls").observer) == ("int16", "percentile")
    assert (qconfig.of("neck.add").dtype, qconfig.of("neck.add").observer) == ("int8", "mse")


def test_a_rule_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(QuantizationError, match=r"\['haed.cls'\] matches no module of the network") as caught:
        QConfig(rules={"haed.cls": {}}).check_matched(["head.cls", "neck.add"])
    assert "Did you mean 'head.cls'?" in str(caught.value)


def test_wrong_values_are_refused_at_once() -> None:
    with pytest.raises(QuantizationError, match="dtype is 'int4'; expected one of int8, int16"):
        QConfig(activation=dict(dtype="int4"))
    with pytest.raises(QuantizationError, match="no observer 'mes'; known are kl, min_max, mix, mse, percentile"):
        QConfig(rules={"*": dict(observer="mes")})
    with pytest.raises(QuantizationError, match="unknown keys obsever; expected dtype, observer"):
        QConfig(activation=dict(obsever="mse"))


def test_an_observer_takes_parameters() -> None:
    rules = {"head.*": dict(observer=dict(name="percentile", percentile=99.9)), "neck.*": dict(observer="kl")}
    qconfig = OBJECT_REGISTRY.build(dict(type="QConfig", rules=rules))
    assert qconfig.of("head.cls").observer == dict(name="percentile", percentile=99.9)
    assert (qconfig.of("neck.add").observer, qconfig.of("stem").observer) == ("kl", "mse")
    with pytest.raises(QuantizationError, match="Observer 'mse' has no parameter 'percentile'; it takes bins"):
        QConfig(rules={"*": dict(observer=dict(name="mse", percentile=99.9))})
