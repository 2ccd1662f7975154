"""The commands that the demo prints are ones that its user can type."""

import runpy
from pathlib import Path

import pytest

from hatlite import config
from hatlite.engine.run import Run
from hatlite.engine.steps import stage_of_step

ROOT = Path(__file__).parents[2]
DEMO = runpy.run_path(str(ROOT / "tools" / "demo.py"))


def commands(what: str) -> list[list[str]]:
    return [line.split() for line in DEMO["COMMANDS"][what](DEMO["OUT"][what], DEMO["CONFIGS"][what])]


def parsed(words: list[str]):
    return runpy.run_path(str(ROOT / words[0]))["parser"]().parse_args(words[1:])


@pytest.mark.parametrize("what", DEMO["COMMANDS"])
def test_each_command_is_one_of_its_tool(what: str) -> None:
    for words in commands(what):
        args = parsed(words)
        assert getattr(args, "config", None) in (None, DEMO["CONFIGS"][what])


@pytest.mark.parametrize("what", DEMO["COMMANDS"])
def test_the_data_lie_where_the_config_looks_and_the_run_where_the_demo_does(what: str) -> None:
    out = DEMO["OUT"][what]
    found = config.load(str(ROOT / DEMO["CONFIGS"][what]))
    assert Path(found["ckpt_dir"]) == (out / "run" if what == "gnetdet" else out)
    drawn = {parsed(words).out for words in commands(what) if words[0].endswith("make_shapes.py")}
    assert out / "shapes" in drawn


def test_gnetdet_runs_every_stage_of_its_config_in_order() -> None:
    run = Run.load(str(ROOT / DEMO["CONFIGS"]["gnetdet"]))
    stages = []
    for words in commands("gnetdet"):
        args = parsed(words)
        if words[0].endswith("train-dist.py"):
            stages.append(stage_of_step(run, "cal" if args.cal else args.step).name)
        elif words[0].endswith("train.py"):
            stages.append(args.stage)
    assert stages == [stage.name for stage in run.stages]


def test_gnetdet_looks_with_the_model_that_was_converted() -> None:
    args = parsed(commands("gnetdet")[-1])
    run = Run.load(str(ROOT / DEMO["CONFIGS"]["gnetdet"]))
    assert args.model.resolve() == (Path(run.folder) / "model" / "out.model").resolve()
