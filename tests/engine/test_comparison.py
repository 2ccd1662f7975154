import pytest
from spots import spot_run

from hatlite.data.image import read_image
from hatlite.engine import compare_pictures
from hatlite.errors import ConfigError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"))


def test_pictures_and_a_sheet_are_written_and_the_same_every_time(run, tmp_path):
    paths = compare_pictures(run, count=2)
    assert [path.name for path in paths] == ["000_1.jpg", "001_2.jpg", "contact_sheet.jpg"]
    assert {path.parent for path in paths} == {run.folder / "pictures"}
    again = compare_pictures(run, ("float", "int_infer"), 2, tmp_path / "new")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_both_stages_see_the_spots(run, tmp_path):
    picture = read_image(compare_pictures(run, count=1, folder=tmp_path)[0])
    half = picture.shape[1] // 2
    for side in (picture[:, :half], picture[:, half:]):
        assert (abs(side.astype(int) - (230, 159, 0)).sum(axis=2) < 60).sum() > 500  # orange, the second class


def test_more_pictures_than_there_are(run, tmp_path):
    assert len(compare_pictures(run, ("float",), 100, tmp_path)) == 3 + 1


@pytest.mark.parametrize(("stages", "count"), [((), 8), (("float",), 0)])
def test_asking_for_nothing_is_refused(run, stages, count):
    with pytest.raises(ConfigError, match=rf"count is {count} and stages are .*; expected at least one of each"):
        compare_pictures(run, stages, count)
