from pathlib import Path

import numpy as np
import pytest

from hatlite.analysis import files_at, output_paths, parse_inputs, picture_paths, save_picture
from hatlite.data.image import read_image
from hatlite.errors import ConfigError, DataNotFoundError, OutputError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("imgs:a.jpg", ["a.jpg"]),
        ("img:a.jpg", ["a.jpg"]),
        ("a.jpg", ["a.jpg"]),
        ("imgs:x/a.jpg, img:b.png,c.png", ["x/a.jpg", "b.png", "c.png"]),
    ],
)
def test_inputs(text, names):
    assert parse_inputs(text) == [Path(name) for name in names]


@pytest.mark.parametrize("text", ["", "imgs:", "imgs:a.jpg,", "imgs: ,img:b.jpg"])
def test_an_empty_input_is_refused(text):
    with pytest.raises(ConfigError, match=r"--model-inputs is '.*'; expected imgs:PATH"):
        parse_inputs(text)


def test_another_input_than_img_is_refused():
    with pytest.raises(ConfigError, match=r"--model-inputs has 'image:a.jpg'; the network's input is called img, so"):
        parse_inputs("img:b.jpg,image:a.jpg")


def test_outputs(tmp_path):
    paths = picture_paths(tmp_path, [Path("x/a.png"), Path("b.jpg")])
    assert paths == [tmp_path / "a_detections.jpg", tmp_path / "b_detections.jpg"]
    assert picture_paths(tmp_path / "new" / "er", [Path("b.jpg")]) == [tmp_path / "new" / "er" / "b_detections.jpg"]
    assert not list(tmp_path.iterdir())
    assert picture_paths(tmp_path / "out.PNG", [Path("a.jpg")]) == [tmp_path / "out.PNG"]


def test_outputs_that_cannot_be(tmp_path):
    one, two = Path("a.jpg"), [Path("x/a.jpg"), Path("y/a.jpg")]
    with pytest.raises(DataNotFoundError, match=r"there is no folder .*missing; make it first"):
        picture_paths(tmp_path / "missing" / "a.jpg", [one])
    for name in ("new.v2", "file"):
        (tmp_path / "file").touch()
        with pytest.raises(
            DataNotFoundError, match=rf"{name}, which is no folder and no name ending in \.jpg.*name one"
        ):
            picture_paths(tmp_path / name, [one])
    with pytest.raises(ConfigError, match=r"is the file .*out\.jpg, but there are 2 inputs; name a folder"):
        picture_paths(tmp_path / "out.jpg", two)
    with pytest.raises(ConfigError, match=r"Two inputs would both become .*a_detections\.jpg"):
        picture_paths(tmp_path, two)
    with pytest.raises(ConfigError, match=r"is the input .*a\.jpg itself"):
        picture_paths(tmp_path / "a.jpg", [tmp_path / "." / "a.jpg"])


def test_a_png_keeps_every_pixel_and_a_jpeg_the_picture(tmp_path):
    img = np.zeros((16, 16, 3), np.uint8)
    img[:8], img[8:, :, 2] = (200, 100, 50), 255
    assert (read_image(save_picture(img, tmp_path / "a.png")) == img).all()
    assert np.abs(read_image(save_picture(img, tmp_path / "a.jpg")).astype(int) - img).mean() < 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png"]


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken.jpg").mkdir()
    with pytest.raises(OutputError, match=r"taken\.jpg cannot be written \(Is a directory\); name another place"):
        save_picture(np.zeros((4, 4, 3), np.uint8), tmp_path / "taken.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.jpg"]


def test_files_of_a_folder_and_one_file(tmp_path):
    for name in ("b.PNG", "a.jpg", "note.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.jpg").mkdir()
    (tmp_path / "c.jpg" / "inside.jpg").touch()
    assert [path.name for path in files_at(tmp_path, (".jpg", ".png"), "-i")] == ["a.jpg", "b.PNG"]
    assert files_at(tmp_path / "b.PNG", (".jpg", ".png"), "-i") == [tmp_path / "b.PNG"]


def test_files_that_are_not_there(tmp_path):
    (tmp_path / "note.txt").touch()
    with pytest.raises(
        DataNotFoundError, match=r"^-i is the folder .*, which has no file ending in \.jpg, \.png; name an"
    ):
        files_at(tmp_path, (".jpg", ".png"), "-i")
    with pytest.raises(ConfigError, match=r"^-i is .*note\.txt; expected a folder or a file ending in \.jpg\.$"):
        files_at(tmp_path / "note.txt", (".jpg",), "-i")
    with pytest.raises(
        DataNotFoundError, match=r"^-i is .*, which does not exist; name a folder or a file(.|\n)*'note\.txt'"
    ):
        files_at(tmp_path / "not.txt", (".jpg",), "-i")
    with pytest.raises(
        DataNotFoundError, match=r"^-i is .*, which does not exist; name a folder or a file ending in \.jpg\.$"
    ):
        files_at(tmp_path / "no" / "a.jpg", (".jpg",), "-i")


def test_outputs_of_other_names_and_formats(tmp_path):
    inputs = [Path("a.avi"), Path("a.mp4")]
    named = (lambda path: f"out_{path.name}", (".mp4", ".avi"), "-o")
    assert output_paths(tmp_path, inputs, *named) == [tmp_path / "out_a.avi", tmp_path / "out_a.mp4"]
    assert output_paths(tmp_path / "b.avi", inputs[:1], *named) == [tmp_path / "b.avi"]
    with pytest.raises(
        DataNotFoundError, match=r"^-o is .*b\.jpg, which is no folder and no name ending in \.mp4, \.avi"
    ):
        output_paths(tmp_path / "b.jpg", inputs, *named)
