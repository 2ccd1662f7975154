"""``--opts`` on plain dicts; what it does to modules stands in test_config.py."""

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.errors import ConfigError
from hatlite.overrides import Override, Overrides, parse_value

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(LITERALS)
def test_what_repr_writes_is_read_back(value: Any) -> None:
    assert parse_value(repr(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("1e-3", 1e-3), ("true", True), ("None", None), ("(1, 2)", (1, 2)), ("a/b.pth", "a/b.pth"), ("", "")],
)
def test_values(text: str, value: Any) -> None:
    assert parse_value(text) == value


def test_the_first_equals_sign_splits() -> None:
    assert Override.parse("a.b=x=y") == Override("a.b=x=y", ("a", "b"), "x=y")


@pytest.mark.parametrize("text", ["num_epochs", "=3", "a..b=3"])
def test_a_malformed_override_is_explained(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--opts takes key\.path=value, such as num_epochs=2"):
        Overrides([text])


@pytest.mark.parametrize(("value", "kind"), [("{num_epochs:2}", "dict"), ("[a,b]", "list"), (" {type:A} ", "dict")])
def test_a_dict_whose_quotes_the_shell_took_is_refused(value: str, kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Overrides([f"a.b={value}"])
    assert str(caught.value) == (
        f"--opts a.b: {value} is no {kind} that Python reads. A shell takes quotes away, so put others around the"
        """ whole, as in "model.backbone={'type':'resnet50'}"."""
    )


def test_a_call_is_no_value() -> None:
    with pytest.raises(ConfigError) as caught:
        Override.parse("float_trainer.val_metrics=dict(type='VOCMApMetric')")
    assert str(caught.value) == (
        "--opts float_trainer.val_metrics: dict(type='VOCMApMetric') is a call of dict, and values are read as"
        """ literals; write it as one, such as "val_metrics={'type':'VOCMApMetric'}"."""
    )


def test_a_plus_behind_a_list_appends() -> None:
    cfg = {"trainer": {"callbacks": [{"n": 1}]}, "by_sign": {"+": 1}}
    Overrides(["trainer.callbacks.+={'n': 2}", "trainer.callbacks.-1.n=3", "by_sign.+=2"]).apply(cfg)
    assert cfg == {"trainer": {"callbacks": [{"n": 1}, {"n": 3}]}, "by_sign": {"+": 2}}


def test_paths_go_through_dicts_and_lists() -> None:
    shared = {"type": "FCOS", "num_classes": 80}
    cfg = {"a": {"model": shared}, "b": {"model": shared}, "c": [{"n": 1}], "by_epoch": {4: 0.1}}
    Overrides(["a.model.num_classes=3", "a.model.bias=true", "c.0.n=2", "c.-1.n=5", "by_epoch.4=0.5"]).apply(cfg)
    assert cfg["b"]["model"] == {"type": "FCOS", "num_classes": 3, "bias": True}
    assert cfg["c"] == [{"n": 5}]
    assert cfg["by_epoch"] == {4: 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer.modle.x=1", r"config\['trainer'\] has no key 'modle'\.\n  Did you mean 'model'\?"),
        ("trainer.lrr=1", r"config\['trainer'\] has no key 'lrr'\.\n  Did you mean 'lr'\?"),
        ("trainer.steps.7=1", r"config\['trainer'\]\['steps'\] is a list of 2; '7' is no index into it\."),
        ("trainer.steps.one=1", r"is a list of 2; 'one' is no index"),
        ("trainer.size.0=1", r"config\['trainer'\]\['size'\] is \(1, 2\) \(tuple\), which has no parts; name it as a "),
        ("trainre=1", r"^--opts trainre=1: the config sets no such name\.\n  Did you mean 'trainer'\?"),
        ("trainer=1", r"^--opts trainer=1: it is not set by a plain assignment\.$"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(text: str, message: str) -> None:
    cfg = {"trainer": {"model": {}, "lr": 1, "steps": [1, 2], "size": (1, 2)}}
    with pytest.raises(ConfigError, match=message):
        Overrides([text]).apply(cfg)


def test_every_plain_assignment_is_replaced_and_functions_are_left_alone() -> None:
    source = "n: int = 1\nm = n = 2\nn += 3\nif m:\n    n = 4\ndef f():\n    n = 5\n    return n\n"
    opts = Overrides(["n=7"])
    namespace: dict[str, Any] = {}
    exec(compile(opts.rewrite(ast.parse(source)), "cfg", "exec"), namespace)
    assert (namespace["n"], namespace["m"], namespace["f"]()) == (7, 7, 5)


def test_a_known_name_arrives_whoever_sets_it() -> None:
    opts = Overrides(["quantize=calibration", "march=tidl"], ["quantize", "march", "seed"])
    opts.rewrite(ast.parse("import sibling\nmodel = {}\n"))
    opts.rewrite(ast.parse("quantize = None\n"))
    cfg: dict[str, Any] = {"model": {}}
    opts.apply(cfg)
    assert cfg == {"model": {}, "quantize": "calibration", "march": "tidl"}
    with pytest.raises(ConfigError, match=r"^--opts sed=1: the config sets no such name\.\n  Did you mean 'seed'\?$"):
        Overrides(["sed=1"], ["seed"]).apply({})


@pytest.mark.parametrize(
    "reads", ["trainer = dict(lr=lr)", "x = sibling.lr", "from sibling import lr as rate", "lr = 1"]
)
def test_a_name_of_a_sibling_must_be_read_or_arrive(reads: str) -> None:
    def apply(config: str) -> None:
        opts = Overrides(["lr=7"])
        code = opts.rewrite(ast.parse(config))
        opts.rewrite(ast.parse("lr = 3\n"))
        opts.apply({"lr": 7} if "lr = " in ast.unparse(code) else {})

    apply(reads)
    with pytest.raises(ConfigError, match=r"^--opts lr=7: only a file that the config imports sets that name, and not"):
        apply("import sibling\n")


def test_all_overrides_that_lead_nowhere_are_told_together() -> None:
    with pytest.raises(ConfigError, match=r"^3 problems in --opts:") as caught:
        Overrides(["nme=1", "model.hed=1", "model.lr=2", "steps.9=1"]).apply(
            {"model": {"head": {}, "lr": 1}, "steps": []}
        )
    assert [problem.path for problem in caught.value.problems] == [
        "config['nme']",
        "config['model']",
        "config['steps']",
    ]
