import pytest

from hatlite.engine import STAGE_KINDS, Run
from hatlite.engine.conversion import FORMS
from hatlite.engine.kinds import pipeline_of, program_stage, stage_file, start_file
from hatlite.errors import ConfigError, StageError


def names(pipeline):
    return [type(converter).__name__ for converter in pipeline.converters]


def test_each_kind_begins_and_is_restored_as_its_data_say(tiny_config):
    run = Run(tiny_config)
    for stage in run.stages:
        kind = STAGE_KINDS[stage.kind]
        assert names(pipeline_of(run, stage, "trainer")) == list(kind.start)
        assert names(pipeline_of(run, stage, "predictor")) == list(kind.restore)
    forms = [form for form in FORMS if form not in ("qat_weights", "qat_activations")]
    assert [pipeline_of(run, stage, "trainer").leaves() for stage in run.stages] == forms
    assert program_stage(run).name == "int_infer"
    assert [stage_file(run, stage).suffix for stage in run.stages] == [".tar"] * 3 + [".hbir"]


def test_only_what_reads_the_file_of_the_stage_asks_for_it(tiny_config):
    run = Run(tiny_config)
    qat = run.stage("qat")
    with pytest.raises(StageError, match="Stage 'qat' starts from .*calibration-checkpoint-best"):
        start_file(run, qat, pipeline_of(run, qat, "trainer"))
    steps = [{"type": "Float2QAT"}, {"type": "LoadCheckpoint", "checkpoint_path": "x"}]
    tiny_config["qat_trainer"]["model_convert_pipeline"] = {"type": "ModelConvertPipeline", "converters": steps}
    run = Run(tiny_config)
    assert start_file(run, qat, pipeline_of(run, qat, "trainer")) is None


def test_the_pipeline_of_the_deployed_model_counts_where_it_loads_a_checkpoint(tiny_config):
    steps = [{"type": "Float2QAT"}, {"type": "LoadCheckpoint", "checkpoint_path": "x"}, {"type": "QAT2Quantize"}]
    pipeline = {"type": "ModelConvertPipeline", "converters": steps}
    run = Run({**tiny_config, "deploy_model_convert_pipeline": pipeline})
    assert pipeline_of(run, run.stage("int_infer"), "trainer").converters[1].checkpoint_path == "x"
    assert names(pipeline_of(run, run.stage("qat"), "trainer")) == ["Float2QAT", "LoadCheckpoint", "EditGain"]
    run = Run({**tiny_config, "deploy_model_convert_pipeline": {**pipeline, "converters": [steps[0], steps[2]]}})
    assert names(pipeline_of(run, run.stage("int_infer"), "trainer")) == ["Float2QAT", "LoadCheckpoint", "QAT2Quantize"]
    run = Run({**tiny_config, "deploy_model_convert_pipeline": {**pipeline, "converters": steps[:2]}})
    with pytest.raises(
        ConfigError, match=r"config\['deploy_model_convert_pipeline'\] leaves .* 'qat', and stage 'int_"
    ):
        pipeline_of(run, run.stage("int_infer"), "trainer")
