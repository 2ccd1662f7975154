from types import SimpleNamespace

import pytest
import torch

from hatlite.engine.callbacks import SaveTraced
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture
def loop(tiny_config, tmp_path):
    model = OBJECT_REGISTRY.build(tiny_config["model"])
    run = RunInfo("float", "t", tmp_path / "run")
    return SimpleNamespace(model=model, evaluation_model=model, run=run, device="cpu", interrupted=False)


def test_the_file_computes_what_the_network_computes(loop, tmp_path):
    callback = SaveTraced(str(tmp_path / "out"), {"img": torch.randn(1, 3, 8, 8)})
    callback.on_loop_begin(loop)
    loop.model.to(memory_format=torch.channels_last)  # as training keeps it, and a file should not
    callback.on_loop_end(loop)
    assert loop.model.training
    loop.model.to(memory_format=torch.contiguous_format)
    loaded = torch.export.load(tmp_path / "out" / "float-network.pt2").module()
    img = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = loop.model.eval().network(img)
        assert {k: v.tolist() for k, v in loaded(img).items()} == {k: v.tolist() for k, v in expected.items()}


def test_an_interrupted_training_leaves_no_file(loop):
    loop.interrupted = True
    SaveTraced(trace_inputs={"img": torch.zeros(1, 3, 8, 8)}).on_loop_end(loop)
    assert not loop.run.folder.exists()


def test_integers_have_other_files(loop):
    loop.model.network = prepare(loop.model.network, QConfig(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="SaveTraced: stage 'float' trains on integers, which torch.export has no"):
        SaveTraced(trace_inputs={"img": torch.zeros(1, 3, 8, 8)}).on_loop_begin(loop)


@pytest.mark.parametrize("inputs", [None, {}, {"img": [1, 2]}])
def test_an_example_is_needed(inputs):
    with pytest.raises(ConfigError, match="SaveTraced: trace_inputs holds no tensor called img; give it deploy_inputs"):
        SaveTraced(trace_inputs=inputs)
