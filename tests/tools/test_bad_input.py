"""Whatever is wrong with a command line or a file: one message that names it, exit code 2, nothing written."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from spots import spot_run

from hatlite.command import run_tool

TOOLS = Path(__file__).parents[2] / "tools"
ALL = sorted(str(file.relative_to(TOOLS)) for file in TOOLS.rglob("*.py"))
WITHOUT_CONFIG = ("GNetDet.py", "check_engines.py", "datasets/mscoco_packer.py", "demo.py", "make_shapes.py")
WITHOUT_CONFIG += ("model_table.py", "mscoco_packer.py", "plot_curves.py", "voc2coco.py")
OF_THE_DATA_SET = ("voc_to_meta.py", "xml_2_txt.py")
"""Tools that need no more of a config than its data sets."""
OF_A_CONFIG = [name for name in ALL if name not in WITHOUT_CONFIG]
REQUIRED = {
    "--stage": "float",
    "--save-path": ".",
    "--input-shape": "1,3,24,24",
    "--out": "out",
    "--split": "val",
    "--split-name": "val",
    "--src-data-dir": "source",
    "--target-data-dir": "out",
    "--voc-dir": "source",
}
"""A value for every flag that some tool requires."""
NO_VOC = "a Pascal VOC data set is expected at data/VOC0712/Annotations, which does not exist"
NO_METADATA = (
    "few.py: data_loader reads no data set of type GNetMeta whose img_path ends in JPEGImages, so nothing says"
)
OF_ITS_OWN = {
    ("certify.py",): "There is nothing to certify: name a .hbir file, or a run with --config.",
    ("convert_to_chip.py",): "Stage 'int_infer' starts from tmp_models/gnetdet_448_voc/qat_31-checkpoint-best.pth.tar,",
    (
        "eval_voc.py",
    ): "config['val_data_loader']['dataset']['meta_file'] is './data/meta/VOC0712_valid.txt', which does not",
    ("train-dist.py",): "config['data_path'] is './data', which does not exist here; put the data there",
    **{(name,): NO_VOC for name in OF_THE_DATA_SET},
    **{(name, "task_name=3"): NO_METADATA for name in OF_THE_DATA_SET},
}
"""What a tool says where others miss the config or check the rest of it, by its name and the last word, if any."""

Tool = Callable[..., tuple[int, str]]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run a tool in an empty folder, with what it requires; return its exit code and what it said on standard error."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(name: str, *words: object) -> tuple[int, str]:
        module = runpy.run_path(str(TOOLS / name))
        parser = module["parser"]()
        flags = [action.option_strings[0] for action in parser._actions if action.required and action.option_strings]
        given = [word for flag in flags if flag not in words for word in (flag, REQUIRED[flag])]
        try:
            args = parser.parse_args([*given, *map(str, words)])
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return run_tool(lambda: module["main"](args)), capsys.readouterr().err

    return call


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that is done and its config, beside files that are not what their names say."""
    folder = tmp_path_factory.mktemp("spots")
    run = spot_run(folder)
    keys = ("task_name", "num_classes", "ckpt_dir", "march", "model", "val_metrics", "calibration_trainer")
    names = "\n".join(f"{key} = {run.config[key]!r}" for key in keys)
    loader = repr(run.config["val_data_loader"]).replace("'ToTensor'", "'ToTensor', 'to_yuv': True")
    text = f"import torch.utils.data\n{names}\ndata_loader = val_data_loader = {loader}\n"
    (folder / "spots.py").write_text(re.sub(r"<class '(.*?)'>", r"\1", text).replace(".dataloader.", "."))
    (folder / "text.jpg").write_text("no image")
    (folder / "folder.jpg").mkdir()
    (folder / "cut.hbir").write_bytes(run.program().read_bytes()[:-50])
    (folder / "text.pth.tar").write_text("hello")
    return folder


def test_the_table_is_complete() -> None:
    assert {"train.py", "predict.py", "infer_hbir.py", "export_hbir.py", "compile_perf_hbir.py"} < set(OF_A_CONFIG)


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_flag(tool: Tool, name: str) -> None:
    code, said = tool(name, "--cofnig", "a.py")
    assert code == 2
    assert "'--cofnig' is no argument of this tool." in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "the config is missing; name its file, such as --config configs/"),
        (("--config", "none.py"), "ConfigError: There is no config file none.py."),
        (("--config", "open.py"), "ConfigError: open.py:2: the config is not valid Python: '(' was never closed."),
        (("--config", "fails.py"), "ConfigError: fails.py:1: ZeroDivisionError: division by zero"),
        (("--config", "few.py", "--opts", "task_nam=a"), "--opts task_nam=a: the config sets no such name.\n  Did you"),
        (("--config", "few.py", "--opts", "few.py"), "--opts takes key.path=value, such as num_epochs=2"),
        (("--config", "few.py", "--opts", "task_name=3"), "config['task_name'] is 3; expected a text."),
    ],
)
@pytest.mark.parametrize("name", OF_A_CONFIG)
def test_a_wrong_config(tool: Tool, name: str, words: tuple[str, ...], sentence: str) -> None:
    Path("open.py").write_text("task_name = 'a'\nmodel = dict(\n")
    Path("fails.py").write_text("x = 1 / 0\n")
    Path("few.py").write_text("task_name = 'a'\nmodel = dict(type='SpotDetector')\n")
    before = sorted(Path().iterdir())
    code, said = tool(name, *words)
    assert code == 2
    assert OF_ITS_OWN.get((name, *words[-1:]), sentence) in said
    assert "Traceback" not in said
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("name", [name for name in OF_A_CONFIG if name != "print_config.py"])  # prints what there is
def test_a_config_that_lacks_everything_else(tool: Tool, name: str) -> None:
    Path("few.py").write_text("task_name = 'a'\n")
    code, said = tool(name, "--config", "few.py")
    assert code == 2
    assert re.match(r"(Stage 'float': neither --stage .*\n|Step 1 is: .*\n)?(Config|Stage)Error: ", said)
    told = ("is missing", "sets no model", "There is no", "No stage has left anything", "has nothing to measure with")
    told += (NO_METADATA,)
    assert any(part in said for part in told)
    assert [path.name for path in Path().iterdir()] == ["few.py"]


@pytest.mark.parametrize("name", ["train.py", "predict.py"])
def test_a_wrong_stage_comes_before_what_the_config_lacks(tool: Tool, name: str) -> None:
    Path("few.py").write_text("task_name = 'a'\n")
    code, said = tool(name, "--config", "few.py", "--stage", "flaot")
    assert code == 2
    assert said.startswith("StageError: There is no stage 'flaot'; the stages are float, calibration, qat, int_infer.")


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("predict.py", "--stage flaot", "There is no stage 'flaot'; the stages are float, calibration,"),
        ("predict.py", "--stage int_infer --ckpt DIR/none.hbir", "There is no program DIR/none.hbir."),
        ("predict.py", "--stage int_infer --ckpt DIR/cut.hbir", "DIR/cut.hbir: is damaged: the checksum differs"),
        ("predict.py", "--stage int_infer --ckpt DIR/text.pth.tar", "DIR/text.pth.tar is damaged or no checkpoint"),
        ("predict.py", "--stage float --ckpt DIR/cut.hbir", "DIR/cut.hbir is an integer program, and stage 'float' is"),
        ("predict.py", "--stage float --device gpu", "device 'gpu' is not one that torch knows; use 'cpu', 'cuda' or"),
        ("predict.py", "--stage qat", "There is no checkpoint DIR/run/qat-checkpoint-best.pth.tar.\n  Run this"),
        ("infer.py", "--model-inputs img:none.jpg", "image none.jpg does not exist; name a JPEG or PNG file"),
        ("infer.py", "--model-inputs imgs:DIR/text.jpg", "DIR/text.jpg (8 bytes) cannot be decoded; expected a JPEG"),
        ("infer_hbir.py", "--model-inputs img:DIR/folder.jpg", "image DIR/folder.jpg cannot be read: Is a directory."),
        ("infer_hbir.py", "--model-inputs img:DIR/1.png --save-path none/a.jpg", "there is no folder none; make it"),
        ("infer_hbir.py", "--model-inputs img:DIR/1.png --save-path a.txt", "no name ending in .jpg, .jpeg, .png"),
        ("infer_hbir.py", "--model-inputs img:DIR/1.png --save-path /proc/a", "/proc/a cannot be written ("),
        ("infer_hbir.py", "--model-inputs img:DIR/1.png --ckpt DIR/cut.hbir", "DIR/cut.hbir: is damaged"),
        ("infer.py", "--use-dataset 3", "The data set has no picture 3; it has 3, counted from 0."),
        ("infer.py", "--use-dataset -1", "argument --use-dataset: is '-1'; expected a whole number from 0 up"),
        ("infer.py", "--score-threshold 3", "argument --score-threshold: is '3'; expected a number from 0 to 1"),
        ("export_hbir.py", "--ckpt DIR/cut.hbir", "DIR/cut.hbir is a program already; name the checkpoint of a"),
        ("export_hbir.py", "--ckpt DIR/text.pth.tar", "DIR/text.pth.tar is damaged or no checkpoint"),
        ("validation_hbir.py", "--stage int_infer", "argument --stage/-s: invalid choice: 'int_infer'"),
        ("validation_hbir.py", "--pretrained-ckpt DIR/cut.hbir", "DIR/cut.hbir: is damaged"),
        ("align_bpu_validation.py", "--device-id 0 --device cpu", "--device and --device-id name the same"),
        ("align_bpu_validation.py", "--num-workers x", "argument --num-workers: is 'x'; expected a whole number"),
        ("compile_perf.py", "--opt 4", "argument --opt: invalid choice: '4'"),
        ("compile_perf_hbir.py", "--out-dir /dev/null", "/dev/null cannot be written (File exists); name"),
        ("compile_perf_hbir.py", "--ckpt DIR/cut.hbir", "DIR/cut.hbir: is damaged"),
        ("calops.py", "--input-shape 3,64", "input shape is '3,64'; expected four whole numbers N,C,H,W above 0"),
        ("calops.py", "--input-shape 1,4,24,24", "The network cannot take an input of shape (1, 4, 24, 24)"),
        ("model_checker.py", "--input-shape 1,4,24,24", "does not run in float on an image of 1×4×24×24"),
        ("model_checker.py", "--json /proc/a/b.json", "/proc/a/b.json cannot be written ("),
        ("compare.py", "--stages float --out-dir /proc/a", "/proc/a cannot be written ("),
        ("compare.py", "--count 0", "argument --count: is '0'; expected a whole number from 1 up"),
        ("check_alignment.py", "--ckpt DIR/none.pth.tar", "There is no checkpoint DIR/none.pth.tar."),
        ("export_onnx.py", "--program DIR/cut.hbir", "DIR/cut.hbir: is damaged"),
        ("train.py", "--stage int_infer --resume", "Stage 'int_infer' is short and always starts anew; run it without"),
        ("train.py", "", "--stage is missing, and DIR/spots.py sets no quantize, which would say what to train; name"),
        ("train.py", "--stage float", "config['float_trainer'] is missing, which stage 'float' needs."),
        (
            "train.py",
            "--stage float --opts ckpt_dir=/proc/a",
            "OutputError: /proc/a cannot be written (No such file or",
        ),
        ("train.py", "--stage calibration --opts ckpt_dir=/none", "Stage 'calibration' starts from /none/float-check"),
    ],
)
def test_a_wrong_file_stage_or_place(tool: Tool, spots: Path, name: str, words: str, sentence: str) -> None:
    before = sorted(spots.rglob("*"))
    code, said = tool(name, *words.replace("DIR", str(spots)).split(), "--config", spots / "spots.py")
    assert code == 2
    assert sentence.replace("DIR", str(spots)) in said
    assert "Traceback" not in said
    assert sorted(spots.rglob("*")) == before
    assert not list(Path().iterdir())


SMALL = """
import torch
task_name = "small"
quantize = False
data_path = "voc"
split = "train"
march = "bayes-sim"
side = 64
val_side = 64
deployed = None
scale = None
classes = ["cat", "dog"]
num_classes = 2
strides = [2, 4, 8, 16, 32]
optimizer = dict(type=torch.optim.SGD, lr=0.1)
anchors = dict(type="SSDAnchorGenerator", input_size=64, strides=strides, ratios=[[2]] * 5)
model = dict(
    type="SSD",
    backbone=dict(type="efficientnet", widths=[8, 8, 8, 16, 16, 16, 16, 16], depth_coefficient=0.3),
    neck=dict(
        type="SSDNeck", in_strides=strides, out_strides=strides, out_channels=[8, 8, 16, 16, 16], l2_norm_scale=scale
    ),
    head=dict(type="SSDHead", num_classes=num_classes, anchor_generator=anchors),
    targets=dict(type="MaxIoUAssigner", gt_max_assign_all=False),
    post_process=dict(type="SSDDecoder"),
    loss_cls=dict(type="CrossEntropyLossV2", loss_name="cls"),
    loss_reg=dict(type="SmoothL1Loss"),
)
if deployed:
    deploy_inputs = dict(img=torch.zeros(1, 3, deployed, deployed))
def loader(side):
    to_network = [dict(type="ToTensor"), dict(type="Normalize", mean=128.0, std=128.0)]
    transforms = [dict(type="Resize", img_scale=(side, side), keep_ratio=False), *to_network]
    dataset = dict(type="VOCFromImage", data_path=data_path, split=split, classes=classes, transforms=transforms)
    return dict(type=torch.utils.data.DataLoader, dataset=dataset)
data_loader, val_data_loader, val_metrics = loader(side), loader(val_side), dict(type="VOCMApMetric")
around = [dict(type="Validation", data_loader=val_data_loader), dict(type="Checkpoint")]
around = dict(callbacks=around, val_metrics=val_metrics)
float_trainer = qat_trainer = dict(
    type="Trainer", model=model, data_loader=data_loader, optimizer=optimizer, num_epochs=1, **around
)
calibration_trainer = dict(type="Calibrator", model=model, data_loader=data_loader, **around)
"""
WRONG_SIZE = "SSD: img is 32×32 (height×width), but the anchors are made for 64×64; resize images to that with dict("
WRONG_TRAINING = f"config['float_trainer']: the data_loader, image a.jpg behind its transforms: {WRONG_SIZE}"
WRONG_VALIDATION = "config['float_trainer']: the data_loader of its Validation, image a.jpg behind its"
NO_FORM = "neck.l2_norm (hatlite/models/necks/ssd_neck.py:80): L2Norm has no integer form; leave it out (SSD"


@pytest.fixture
def small(tool: Tool, write_voc: Callable[..., Path]) -> Path:
    """The config of an SSD for 64×64, beside two pictures of VOC; what is wrong with it, --opts say."""
    write_voc({"a": [("dog", (3, 4, 12, 9))], "b": [("cat", (1, 1, 32, 24))]}).rename("voc")
    Path("small.py").write_text(SMALL)
    return Path("small.py")


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("train.py", "--opts side=32", WRONG_TRAINING),
        ("train.py", "--opts val_side=32", WRONG_VALIDATION),
        ("train.py", "--opts deployed=32", f"config['deploy_inputs']: {WRONG_SIZE}"),
        ("predict.py", "--opts val_side=32", "The data_loader of config['float_predictor'], image a.jpg behind its"),
        ("export_hbir.py", "--opts deployed=32", f"config['deploy_inputs']: {WRONG_SIZE}"),
        ("compile_perf.py", "--opts deployed=32", f"config['deploy_inputs']: {WRONG_SIZE}"),
        ("calops.py", "--input-shape 1,3,32,32", f"The input of calops: {WRONG_SIZE}"),
        ("model_checker.py", "--input-shape 1,3,32,32", f"--input-shape: {WRONG_SIZE}"),
        (
            "infer.py",
            "--stage float --model-inputs img:voc/JPEGImages/a.jpg --opts val_side=32",
            "a.jpg behind the transforms: SSD: ",
        ),
        ("train.py", "--stage calibration --opts scale=20.0", NO_FORM),
        ("train.py", "--stage qat --opts scale=20.0", NO_FORM),
        ("compile_perf.py", "--opts scale=20.0", NO_FORM),
        ("export_hbir.py", "--opts scale=20.0", NO_FORM),
        (
            "train.py",
            "--opts num_classes=3",
            "config['num_classes'] is 3, and config['classes'] has 2 names; write",
        ),
        (
            "train.py",
            "--opts classes=('cat','dgo')",
            "1 object has a class that is not in classes (cat, dgo): 'dog' (1,",
        ),
        ("train.py", "--opts classes=('cat','dog','cow') num_classes=3", "classes has 'cow', which no object in voc/"),
        (
            "train.py",
            "--opts split=trian",
            "the list of the split 'trian' is expected at voc/ImageSets/Main/trian.txt,",
        ),
    ],
)
def test_what_does_not_suit_a_detector(tool: Tool, small: Path, name: str, words: str, sentence: str) -> None:
    before = sorted(Path().rglob("*"))
    code, said = tool(name, "--config", small, *words.split())
    assert code == 2, said
    assert sentence in said
    assert "Traceback" not in said
    assert sorted(Path().rglob("*")) == before


def test_a_detector_that_all_suits_trains_and_is_measured_by_class(tool: Tool, small: Path) -> None:
    Path("voc/ImageSets/Main/one.txt").write_text("a\n")
    code, said = tool("train.py", "--config", small)
    assert code == 0, said
    code, said = tool("predict.py", "--config", small, "--opts", "split=one")
    assert code == 0, said
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| ")]
    assert table[0] == ["class", "gts", "dets", "recall", "AP"]
    assert [row[:2] for row in table[2:]] == [["cat", "0"], ["dog", "1"], ["mAP", ""]]
    assert table[2][3:] == ["", ""]  # a split without cats has no recall of them
    code, said = tool("predict.py", "--config", small, "--opts", "classes=('dog','cat')")
    assert code == 2
    assert "other classes than task 'small', stage 'float' has: class 0 is 'cat' in the checkpoint and 'dog'" in said
    picture = ("--model-inputs", "img:voc/JPEGImages/a.jpg")
    code, said = tool("infer.py", "--config", small, *picture, "--opts", "classes=('dog','cow')")
    assert code == 2
    assert "only the checkpoint has 'cat' and only this run has 'cow'." in said


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("mscoco_packer.py", "", "a COCO annotation file is expected at source/annotations/instances_val2017.json"),
        ("datasets/mscoco_packer.py", "--pack-type mxrecord", "argument --pack-type: invalid choice: 'mxrecord'"),
        ("mscoco_packer.py", "--num-workers -1", "argument --num-workers: is '-1'; expected a whole number from 0 up"),
        ("mscoco_packer.py", "--split-name test", "argument --split-name: invalid choice: 'test'"),
        ("make_shapes.py", "--out /proc/a", "/proc/a/val2017 cannot be written ("),
        ("make_shapes.py", "--num-images 0", "argument --num-images: is '0'; expected a whole number from 1 up"),
        ("make_shapes.py", "--image-size 4x4", "expected at least one image, sides of at least 64 pixels"),
        ("voc2coco.py", "", "a Pascal VOC data set is expected at source, which does not exist"),
        ("certify.py", "none.hbir", "none.hbir: cannot be read (No such file or directory)."),
        ("certify.py", "--check none.json", "none.json: cannot be read (No such file or directory)."),
    ],
)
def test_wrong_data(tool: Tool, name: str, words: str, sentence: str) -> None:
    code, said = tool(name, *words.split())
    assert code == 2
    assert sentence in said
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "name",
    # The first two want more of a config than this, the third shows a wrong one too, the others want less.
    [name for name in OF_A_CONFIG if name not in ("train.py", "export_hbir.py", "print_config.py", *OF_THE_DATA_SET)],
)
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("deploy_inputs = {}", "config['deploy_inputs'] has {}; expected dict(img=torch.randn(1, 3, 512, 512)), one"),
        ("deploy_inputs = 3", "config['deploy_inputs'] is 3; expected a dict."),
        ("float_predictor = 3", "config['float_predictor'] is 3; expected a dict with a type."),
        ("float_trainer = dict(type='Trainer', epochs=3)", "config['float_trainer']: Trainer got an unexpected key"),
    ],
)
def test_every_tool_checks_all_that_a_config_says(tool: Tool, name: str, line: str, sentence: str) -> None:
    Path("few.py").write_text(f"task_name = 'a'\nnum_classes = 2\nmodel = dict(type='SpotDetector')\n{line}\n")
    code, said = tool(name, "--config", "few.py")
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said
