import re

import pytest

from hatlite.engine import (
    Calibration2QAT,
    Converter,
    Float2Calibration,
    Float2QAT,
    LoadCheckpoint,
    LoadHbir,
    ModelConvertPipeline,
    QAT2Quantize,
    Run,
    run_stage,
)
from hatlite.engine.conversion import form_of
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


@pytest.mark.parametrize(
    ("converters", "form"),
    [
        ([], "float"),
        ([LoadCheckpoint()], "float"),
        ([LoadCheckpoint(), Float2Calibration()], "calibration"),
        ([Float2QAT(), LoadCheckpoint()], "qat"),
        ([Float2Calibration(), LoadCheckpoint(), Calibration2QAT()], "qat"),
        ([Float2QAT(), LoadCheckpoint(), QAT2Quantize()], "integers"),
        ([LoadHbir()], "integers"),
    ],
)
def test_each_converter_takes_what_the_one_before_it_leaves(converters, form):
    assert ModelConvertPipeline(converters).leaves() == form


@pytest.mark.parametrize(
    ("converters", "message"),
    [
        (
            [QAT2Quantize(), Float2QAT()],
            "converters[0], QAT2Quantize, takes a model in the form qat, which is 'float' there",
        ),
        (
            [Float2QAT(), QAT2Quantize(), LoadCheckpoint()],
            "converters[2], LoadCheckpoint, takes a model in the form float",
        ),
        (
            [Float2QAT(), Float2QAT()],
            "converters[1], Float2QAT, takes a model in the form float, which is 'qat' there.",
        ),
        ([Calibration2QAT()], "Orders that work: LoadCheckpoint, Float2Calibration; Float2QAT, LoadCheckpoint;"),
        (["Float2QAT"], "converters[0] is 'Float2QAT'; expected a converter."),
    ],
)
def test_a_wrong_order_is_seen_when_the_pipeline_is_built(converters, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        ModelConvertPipeline(converters)


def test_a_file_takes_the_place_of_the_last_one_that_is_read(tmp_path):
    pipeline = ModelConvertPipeline([LoadCheckpoint("a"), Float2QAT(), LoadCheckpoint("b", allow_miss=True)])
    taking = pipeline.taking(tmp_path)
    assert taking.converters == (LoadCheckpoint("a"), Float2QAT(), LoadCheckpoint(tmp_path, allow_miss=True))
    assert ModelConvertPipeline([Float2QAT()]).taking(tmp_path) is None
    assert ModelConvertPipeline([LoadHbir()]).taking(tmp_path) is None
    assert ModelConvertPipeline([LoadHbir()]).taking(tmp_path / "x.bc").converters == (LoadHbir(tmp_path / "x.bc"),)


def test_forms_of_a_model(tiny_config):
    model = OBJECT_REGISTRY.build(tiny_config["model"])
    assert form_of(model) == "float"


@OBJECT_REGISTRY.register
class NoteForm(Converter):
    """Somebody's own: says what it met."""

    def __call__(self, model, conversion):
        raise LookupError(f"{type(model).__name__} of {conversion.stage.name} is {conversion.form}")


def test_a_converter_of_ones_own(tiny_config):
    converters = [{"type": "LoadCheckpoint"}, {"type": "NoteForm"}]
    tiny_config["float_trainer"]["model_convert_pipeline"] = {"type": "ModelConvertPipeline", "converters": converters}
    with pytest.raises(LookupError, match="TinyDetector of float is float"):
        run_stage(Run(tiny_config), "float")


def test_one_without_its_own_call_is_an_error():
    with pytest.raises(NotImplementedError):
        Converter()(None, None)
