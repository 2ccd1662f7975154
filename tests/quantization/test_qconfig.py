"""Rules of the qconfig are matched by module path; what matches nothing is an error."""

import pytest

from hatlite.errors import QuantizationError
from hatlite.quantization import QConfig


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
    with pytest.raises(QuantizationError, match="observer is 'mes'; expected one of min_max, mse, percentile"):
        QConfig(rules={"*": dict(observer="mes")})
    with pytest.raises(QuantizationError, match="unknown keys obsever; expected dtype, observer"):
        QConfig(activation=dict(obsever="mse"))
