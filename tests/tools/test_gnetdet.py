"""The tool from its arguments to what it prints, writes and refuses."""

import runpy
from pathlib import Path

import cv2
import pytest
from gnetdet_programs import gnetdet_program
from grid_spots import CLASSES, spot_picture, spot_program

from hatlite import chip, program
from hatlite.analysis import DetViz, Window
from hatlite.command import run_tool
from hatlite.data.image import read_image
from hatlite.data.video import VideoReader, video_file
from hatlite.engine import ChipDetector, ChipSettings

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "GNetDet.py"))
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return the working folder with a model and two pictures, one of them empty."""
    monkeypatch.chdir(tmp_path)
    program.save(spot_program(), tmp_path / "spots.hbir")
    (tmp_path / "imgs").mkdir()
    for name, img in (("a.png", spot_picture((3, 5, RED), (10, 10, BLUE))), ("b.jpg", spot_picture())):
        cv2.imwrite(str(tmp_path / "imgs" / name), img[..., ::-1])
    return tmp_path


@pytest.fixture
def road(place):
    """Return a video of 5 pictures of 7.5 per second in which a red cell moves to the right."""
    with video_file(place / "road.mp4", 7.5) as write:
        for column in range(5):
            write(spot_picture((6, 4 + column, RED), height=448, width=672))
    return place / "road.mp4"


def call(source, *words) -> int:
    """Call the tool, with the model of `place` where `words` names none."""
    arguments = TOOL["parser"]().parse_args(list(map(str, (source, "-m", "spots.hbir", *words))))
    return run_tool(lambda: TOOL["main"](arguments))


def test_pictures_of_a_folder(place, capsys):
    assert call("image", "-i", "imgs", "-o", "drawn/new") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "imgs/a.png -> drawn/new/out_a.png"
    assert [line.split() for line in printed[1:3]] == [
        ["red", "0.938", "30.0", "7.0", "58.0", "21.0"],
        ["blue", "0.938", "70.0", "35.0", "98.0", "49.0"],
    ]
    assert printed[3:5] == ["imgs/b.jpg -> drawn/new/out_b.jpg", "  nothing"]
    assert printed[5].startswith("chip ") and ", overall " in printed[5] and len(printed) == 6
    drawn = read_image(place / "drawn" / "new" / "out_a.png")
    assert drawn.shape == (56, 112, 3)
    assert not (drawn == read_image(place / "imgs" / "a.png")).all()
    assert read_image(place / "drawn" / "new" / "out_b.jpg").max() < 3  # nothing found, nothing drawn


def test_without_an_output_nothing_is_written(place, capsys):
    before = sorted(place.rglob("*"))
    assert call("image", "-i", "imgs/a.png") == 0
    assert capsys.readouterr().out.splitlines()[0] == "imgs/a.png"
    assert sorted(place.rglob("*")) == before


def test_a_chip_model_is_what_is_read_by_default(place, capsys):
    """The seed README's line, with the settings that its yaml holds."""
    told = gnetdet_program(224, CLASSES)
    chip.write_chip_model(told, "out.model")
    Path("GNetDet.yaml").write_text(
        "CHIP: 5801\nMODEL: {NAME: GNetDet, INPUT: {SIZE: 224, FORMAT: 0}, OUTPUT: {CAP: 1.0}}\n"
        "OPTS: {CONF_THRESH: 0.53, PROB_THRESH: 0.5, NMS_THRESH: 0.4}\n"
        f"DATA: {{NUM_CLASSES: 2, CLASS_NAMES: [{', '.join(CLASSES)}]}}\n"
    )
    words = ["image", "-m", "out.model", "-i", "imgs", "-o", "drawn"]
    assert call(*words) == 0
    assert TOOL["parser"]().parse_args(["image"]).model == Path("out.model")
    printed = capsys.readouterr().out.splitlines()
    found = ChipDetector(Path("out.model"), ChipSettings())(read_image("imgs/a.png"))
    assert printed[0] == "settings: GNetDet.yaml" and len(found)
    assert printed[2 : 2 + len(found)] == [f"  {line}" for line in DetViz(0.0).lines(found, CLASSES)]


def test_thresholds_of_the_file_and_of_the_command_line(place, capsys):
    Path("GNetDet.yaml").write_text("OPTS: {PROB_THRESH: 0.95}\n")
    assert call("image", "-i", "imgs/a.png") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "settings: GNetDet.yaml" and printed[2] == "  nothing"
    assert call("image", "-i", "imgs/a.png", "--prob-thresh", "0.9") == 0
    assert "red" in capsys.readouterr().out
    other = place / "other.yaml"
    other.write_text("MODEL: {OUTPUT: {CAP: 1.1554}}\n")
    assert call("image", "-i", "imgs/a.png", "--yaml", other) == 2
    assert "other.yaml: MODEL.OUTPUT.CAP is 1.1554, but spots.hbir has the cap 0.96875" in capsys.readouterr().err


def test_fancy_boxes_are_open(place):
    for name, words in (("whole.png", ()), ("corners.png", ("--fancy",))):
        assert call("image", "-i", "imgs/a.png", "-o", name, "--enlarge", *words) == 0
    whole, corners = (read_image(place / name) for name in ("whole.png", "corners.png"))
    assert whole[14 * 6, 30 * 6].any() and not corners[14 * 6, 30 * 6].any()  # the middle of the left side


def test_a_video_keeps_its_rate_and_its_pictures(place, road, capsys):
    assert call("video", "-i", road, "-o", "drawn") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{road}: 5 pictures, 5 objects -> drawn/out_road.mp4"
    with VideoReader(place / "drawn" / "out_road.mp4") as video:
        assert (video.rate, video.count) == (7.5, 5)
        drawn = list(video)
    for column, img in enumerate(drawn):
        left = round((4 + column + 0.5 - 14 / 8) * 48)  # of the box, a quarter of the picture wide
        assert img.shape == (448, 672, 3)
        assert img[208, left - 3 : left + 3].max() > 60 and img[208, left + 8 : left + 40].max() < 60


def test_a_video_in_another_format_and_its_first_pictures(place, road, capsys):
    assert call("video", "-i", road, "-o", "short.avi", "--frames", "2") == 0
    with VideoReader(place / "short.avi") as video:
        assert (video.rate, len(list(video))) == (7.5, 2)


class Camera:
    """Three pictures, then the key Ctrl-C."""

    def __init__(self, number: int, ends: type[BaseException] = KeyboardInterrupt) -> None:
        self.name, self.rate, self.count, self.ends, self.number = f"camera {number}", 25.0, 0, ends, number

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __iter__(self):
        for column in range(3):
            yield spot_picture((6, 4 + column, RED), height=448, width=672)
        raise self.ends


@pytest.mark.parametrize("word", ["camera", "camara"])
def test_a_camera_records_until_it_is_interrupted(place, monkeypatch, capsys, word):
    monkeypatch.setattr("hatlite.engine.chip_infer.VideoReader", Camera)
    assert call(word, "--camera", "3", "-o", "drawn") == 0
    assert capsys.readouterr().out.splitlines()[0] == "camera 3: 3 pictures, 3 objects -> drawn/out_camera3.mp4"
    with VideoReader(place / "drawn" / "out_camera3.mp4") as video:
        assert video.count == 3


def test_an_interrupted_video_leaves_nothing(place, road, monkeypatch, capsys):
    monkeypatch.setattr("hatlite.engine.chip_infer.VideoReader", Camera)
    assert call("video", "-i", road, "-o", "drawn") == 130
    assert not (place / "drawn").exists()


def test_a_window_shows_what_is_written_and_ends_the_tool(place, monkeypatch, capsys):
    shown = []

    def show(self, img, note, *, wait):
        shown.append((img.shape, note.split()[0], wait))
        return False

    monkeypatch.setattr(Window, "__init__", lambda self, title: None)
    monkeypatch.setattr(Window, "show", show)
    assert call("image", "-i", "imgs", "-o", "drawn", "--show") == 0
    assert shown == [((56, 112, 3), "chip", True)]
    assert [path.name for path in (place / "drawn").iterdir()] == ["out_a.png"]
    assert "b.jpg" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("image",), "-i is missing; name a folder or a file ending in .jpg, .jpeg, .png."),
        (("video",), "-i is missing; name a folder or a file ending in .mp4, .avi."),
        (("image", "-i", "none"), "-i is none, which does not exist; name a folder or a file"),
        (("video", "-i", "imgs"), "-i is the folder imgs, which has no file ending in .mp4, .avi; name another."),
        (("image", "-i", "bad.jpg"), "image bad.jpg (8 bytes) cannot be decoded; expected a JPEG or PNG file."),
        (("image", "-i", "mixed"), "image mixed/z.png (8 bytes) cannot be decoded"),
        (("video", "-i", "bad.mp4"), "video bad.mp4 cannot be opened; expected a whole .mp4 or .avi file."),
        (("camera", "--camera", "97"), "camera 97 cannot be opened; name a camera that is there"),
        (("camera", "-i", "bad.mp4"), "-i is bad.mp4, but a camera has a number and no file: --camera 0."),
        (("image", "-i", "imgs", "-m", "no.model"), "There is no model no.model; tools/convert_to_chip.py writes"),
        (("image", "-i", "imgs", "-m", "bad.model"), "bad.model: is not a chip model"),
        (("image", "-i", "imgs", "--input-size", "448"), "--input-size is 448, but spots.hbir takes images of 28×28"),
        (("image", "-i", "imgs", "--input-format", "1"), "--input-format is 1, but spots.hbir was trained on BGR"),
        (("image", "-i", "imgs", "--yaml", "no.yaml"), "no.yaml cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_nothing_is_written(place, words, sentence, capfd):
    for name in ("bad.jpg", "bad.mp4", "bad.model"):
        (place / name).write_bytes(b"no image")
    (place / "mixed").mkdir()
    cv2.imwrite("mixed/a.png", spot_picture())
    (place / "mixed" / "z.png").write_bytes(b"no image")
    assert call(*words, "-o", "drawn") == 2
    printed, error = capfd.readouterr()
    assert printed == "" and sentence in error and len(error.splitlines()) == 1
    assert not (place / "drawn").exists()


def test_an_output_that_cannot_be_written(place, capsys):
    assert call("image", "-i", "imgs", "-o", "a.txt") == 2
    assert "-o is a.txt, which is no folder and no name ending in .jpg" in capsys.readouterr().err
    assert call("image", "-i", "imgs", "-o", "one.png") == 2
    assert "-o is the file one.png, but there are 2 inputs; name a folder." in capsys.readouterr().err
    Path("file").touch()
    assert call("image", "-i", "imgs", "-o", "file/in/it") == 2
    assert "file/in/it cannot be written (Not a directory)" in capsys.readouterr().err


def test_names_of_a_model_that_has_none(place, capsys):
    program.save(spot_program(classes=[]), place / "spots.hbir")
    assert call("image", "-i", "imgs/a.png") == 0
    assert "class 0" in capsys.readouterr().out
    Path("GNetDet.yaml").write_text(f"DATA: {{NUM_CLASSES: 2, CLASS_NAMES: [{', '.join(CLASSES)}]}}\n")
    assert call("image", "-i", "imgs/a.png") == 0
    assert "red" in capsys.readouterr().out


def test_another_program(place, capsys):
    stranger = spot_program()
    ports = (*stranger.outputs[1:], stranger.outputs[0].__class__("cls_logits_s2", "out", "uint8", 1 / 32, stride=2))
    program.save(
        stranger.__class__("fcos", "tidl", stranger.inputs, ports, stranger.ops, stranger.values), "spots.hbir"
    )
    assert call("image", "-i", "imgs") == 2
    assert "the program 'fcos' has the outputs cls_logits_s2; expected one, predictions_s32" in capsys.readouterr().err
