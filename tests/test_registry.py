"""Names become objects, and every mistake is named with its place."""

import collections
from typing import Any, ClassVar

import pytest

from hatlite.errors import BuildError, ConfigError, DataError, UnknownTypeError
from hatlite.registry import Registry, nearest


class Head:
    def __init__(self, num_classes: int, feat_channels: int = 64) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes};\n expected at least 1")
        self.num_classes = num_classes
        self.feat_channels = feat_channels


class Model:
    def __init__(self, head: Head, extras: Any = None) -> None:
        self.head = head
        self.extras = extras


class Optimizer:
    def __init__(self, params: list, lr: float) -> None:
        self.params = params
        self.lr = lr


class Trainer:
    build_later = {"optimizer": ("params",)}

    def __init__(self, model: Model, optimizer: dict, callbacks: list | None = None) -> None:
        self.model = model
        self.optimizer = optimizer
        self.callbacks = callbacks


@pytest.fixture
def registry() -> Registry:
    registry = Registry("test")
    for cls in (Head, Model, Trainer):
        registry.register(cls)
    registry.register(Optimizer, alias="sgd")
    return registry


def test_nearest_gives_a_hint_or_nothing() -> None:
    assert nearest("num_clases", ["num_classes", "lr"]) == "\n  Did you mean 'num_classes'?"
    assert nearest("xyz", ["num_classes"]) == ""
    assert nearest("rbc", ["bbc", "RBC"]) == "\n  Did you mean 'RBC'?"
    assert nearest("fcoss", ["SSD", "FCOS"]) == "\n  Did you mean 'FCOS'?"


def test_children_are_built_first_and_plain_dicts_stay(registry: Registry) -> None:
    model = registry.build({"type": "Model", "head": {"type": "Head", "num_classes": 3}, "extras": {"a": [1, (2,)]}})
    assert isinstance(model, Model)
    assert model.head.num_classes == 3
    assert model.extras == {"a": [1, (2,)]}


def test_a_class_or_an_alias_is_a_type(registry: Registry) -> None:
    assert isinstance(registry.build({"type": Head, "num_classes": 1}), Head)
    assert registry.build({"type": "sgd", "lr": 0.1}, params=[1]).params == [1]
    assert "sgd" in registry
    assert "adam" not in registry


def test_one_dict_is_one_instance(registry: Registry) -> None:
    head = {"type": "Head", "num_classes": 3}
    first, second, third = registry.build([head, head, dict(head)])
    assert first is second
    assert third is not first


def test_a_namedtuple_stays_one(registry: Registry) -> None:
    Pair = collections.namedtuple("Pair", "a b")
    assert registry.build(Pair({"type": "Head", "num_classes": 2}, 5)).b == 5


def test_a_child_may_be_built_later(registry: Registry) -> None:
    cfg = {"type": "Optimizer", "lr": 0.1}
    trainer = registry.build(
        {"type": "Trainer", "model": {"type": "Model", "head": {"type": "Head", "num_classes": 3}}, "optimizer": cfg}
    )
    assert trainer.optimizer is cfg


def test_an_adapter_stands_in_for_a_foreign_class(registry: Registry) -> None:
    @registry.adapt(dict)
    def build_dict(size: int) -> list[int]:
        return [0] * size

    assert registry.build({"type": dict, "size": 2}) == [0, 0]


def test_an_unknown_type_answers_with_names(registry: Registry) -> None:
    with pytest.raises(UnknownTypeError, match=r"config\['model'\]\['head'\]\['type'\] is 'Haed'") as caught:
        registry.build({"type": "Model", "head": {"type": "Haed"}}, path="['model']")
    assert "Did you mean 'Head'?" in str(caught.value)
    assert "Head, Model" in str(caught.value)
    assert caught.value.path == "config['model']['head']['type']"
    assert caught.value.candidates[0] == "Head"


def test_a_type_must_be_a_name_or_a_class(registry: Registry) -> None:
    with pytest.raises(UnknownTypeError, match=r"\['type'\] is 3; expected a registered name or a class\.$"):
        registry.build({"type": 3})


def test_an_unexpected_key_shows_what_the_class_takes(registry: Registry) -> None:
    with pytest.raises(BuildError, match=r"Head got an unexpected key 'num_class'") as caught:
        registry.build({"type": "Head", "num_classes": 1, "num_class": 3})
    assert "Did you mean 'num_classes'?" in str(caught.value)
    assert "Head takes num_classes, feat_channels=64" in str(caught.value)


def test_a_missing_key_is_named(registry: Registry) -> None:
    with pytest.raises(BuildError, match=r"config\['h'\]: Head needs the key 'num_classes', which is missing\."):
        registry.build({"type": "Head"}, path="['h']")


def test_all_problems_come_together(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"^3 problems in config:") as caught:
        registry.build([{"type": "Head"}, {"type": "Nothing", "part": {"type": "Head", "num_classes": 1, "x": 2}}])
    assert [type(problem) for problem in caught.value.problems] == [BuildError, UnknownTypeError, BuildError]


def test_a_constructor_that_refuses_is_named(registry: Registry) -> None:
    with pytest.raises(BuildError, match=r"Head could not be built: num_classes is 0; expected at least 1 \("):
        registry.build({"type": "Head", "num_classes": 0})


def test_check_knows_what_a_parent_adds(registry: Registry) -> None:
    optimizer = {"type": "sgd", "lr": 0.1}
    trainer = {"type": "Trainer", "model": {"type": "Model", "head": None}, "optimizer": optimizer}
    assert registry.check(trainer) == []
    assert registry.check({"optimizer": optimizer, "trainer": trainer}) == []
    assert len(registry.check({"optimizer": optimizer})) == 1
    assert len(registry.check({"type": "Trainer", "model": None, "optimizer": {"type": "sgd"}})) == 1


def test_a_shared_dict_is_reported_once(registry: Registry) -> None:
    head = {"type": "Head"}
    problems = registry.check({"a": head, "b": [head]})
    assert [problem.path for problem in problems] == ["config['a']"]


def test_names_are_unique(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"^'Head' is already registered by .*names are unique\.$"):
        registry.register(alias="new")(Head)
    assert "new" not in registry


def test_names_put_similar_ones_first(registry: Registry) -> None:
    assert registry.names("Haed")[0] == "Head"
    assert registry.names() == ["Head", "Model", "Optimizer", "Trainer", "sgd"]


def test_a_hatlite_error_from_a_constructor_passes_through(registry: Registry) -> None:
    @registry.register
    def refuse() -> None:
        raise ConfigError("as written")

    with pytest.raises(ConfigError, match=r"^as written$"):
        registry.build({"type": "refuse"})


def test_a_value_that_does_not_fit_its_annotation_is_refused_with_its_place(registry: Registry) -> None:
    cfg = {"type": "Model", "head": {"type": "Head", "num_classes": "two", "feat_channels": 2.5}}
    with pytest.raises(BuildError, match=r"config\['model'\]\['head'\] is 'Head'") as caught:
        registry.build({"type": "Model", "head": "Head"}, path="['model']")
    assert str(caught.value).startswith("config['model']['head'] is 'Head'; Model expects a dict whose type is a Head")
    assert [str(problem).partition(" (")[0] for problem in registry.check(cfg)] == [
        "config['head']['num_classes'] is 'two'; Head expects a whole number there",
        "config['head']['feat_channels'] is 2.5; Head expects a whole number there",
    ]


def test_an_error_of_a_constructor_gets_its_place_once(registry: Registry) -> None:
    @registry.register
    class Strict:
        def __init__(self) -> None:
            raise DataError("the folder is empty.")

    with pytest.raises(DataError, match=r"^config\['model'\]\['head'\]: the folder is empty\.$"):
        registry.build({"type": "Model", "head": {"type": "Strict"}}, path="['model']")


def test_a_part_without_what_its_owner_needs_is_no_traceback(registry: Registry) -> None:
    @registry.register
    class Owner:
        def __init__(self, head: Any) -> None:
            head.bind()

    with pytest.raises(BuildError, match=r"Owner could not be built: 'list' object has no attribute 'bind'"):
        registry.build({"type": "Owner", "head": []})


def test_a_declined_name_is_answered_with_its_sentence_until_somebody_registers_it():
    registry = Registry("test")
    registry.decline({"Tail": "write Head."})
    with pytest.raises(
        UnknownTypeError, match=r"config\['m'\]\['type'\] is 'Tail', which hatlite does not have: write Head"
    ):
        registry.build({"type": "Tail"}, path="['m']")
    assert "Tail" not in registry
    with pytest.raises(ValueError, match="'Tail' is taken already; names are unique"):
        registry.decline({"Tail": "again."})

    @registry.register
    class Tail:
        pass

    assert isinstance(registry.build({"type": "Tail"}), Tail)


def test_a_declined_key_is_answered_with_its_sentence():
    registry = Registry("test")

    @registry.register
    class Loader:
        declined_keys: ClassVar = {"speed": "it is always fast."}

    with pytest.raises(BuildError, match=r"^config\['x'\]: Loader has no key 'speed': it is always fast\.$"):
        registry.build({"type": "Loader", "speed": 1}, path="['x']")


def test_a_class_has_its_settings_checked_before_anything_is_built(registry: Registry) -> None:
    def refuse_heat(settings: dict) -> None:
        if "heat" in settings:
            raise DataError("Oven has no heat.")

    @registry.register
    class Oven:
        checked_keys: ClassVar = {"settings": refuse_heat}

        def __init__(self, settings: dict | None = None) -> None:
            self.settings = settings

    assert registry.check({"type": "Oven", "settings": {"time": 1}}) == registry.check({"type": "Oven"}) == []
    (problem,) = registry.check([{"type": "Oven", "settings": {"heat": 1}}], "['ovens']")
    assert str(problem) == "config['ovens'][0]: Oven has no heat."
    (problem,) = registry.check({"type": "Oven", "settings": 3}, "['oven']")
    assert str(problem).startswith("config['oven']['settings'] is 3; Oven expects a dict")
