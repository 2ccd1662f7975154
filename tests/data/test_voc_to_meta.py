import pytest

from hatlite.data.datasets.meta import GNetMeta
from hatlite.data.voc_to_meta import MetaChoice, MetaFiles, voc_to_meta
from hatlite.errors import ConfigError, DataError, DataNotFoundError

DOG = ("dog", (3, 4, 12, 9))
CAT = ("cat", (1, 1, 32, 24))


@pytest.fixture
def write(write_voc):
    """Write metadata of a folder with these images; return the lines of train and valid, and the summary."""

    def write_meta(images, classes=None, *, force=False, **choice):
        files = MetaFiles.beside(write_voc(images), classes)
        summary = voc_to_meta(files, MetaChoice(**choice), force=force)
        return files.train.read_text().splitlines(), files.valid.read_text().splitlines(), summary

    return write_meta


def many(count=20):
    return {f"{number:02}": [DOG, CAT] for number in range(count)}


def test_lines_by_hand(write, tmp_path):
    train, valid, summary = write({"train a": [DOG, CAT], "b": [CAT]}, by_name=True)
    assert train == ['"train a.jpg" 3 4 12 9 1 1 1 32 24 0']
    assert valid == ["b.jpg 1 1 32 24 0"]
    assert f"1 images to {tmp_path}/meta/voc_train.txt and 1 images to {tmp_path}/meta/voc_valid.txt" in summary
    assert "3 objects: 2 cat, 1 dog" in summary


def test_the_data_set_reads_them(write, tmp_path):
    write({"train a": [DOG, CAT], "b": [CAT]}, by_name=True)
    images = tmp_path / "voc/JPEGImages"
    dataset = GNetMeta(tmp_path / "meta/voc_train.txt", images, classes=["cat", "dog"])
    assert dataset[0]["gt_bboxes"].tolist() == [[2, 3, 12, 9], [0, 0, 32, 24]]
    assert dataset[0]["img_name"] == "train a.jpg"


def test_the_split_is_that_of_its_seed(write):
    train, valid, _ = write(many())
    assert (len(train), len(valid)) == (17, 3)
    assert train == sorted(train)
    assert not set(train) & set(valid)
    assert write(many(), force=True)[:2] == (train, valid)
    assert write(many(), force=True, seed=1)[0] != train
    assert len(write(many(), force=True, train_share=0.5)[0]) == 10


def test_a_share_of_the_annotations_is_enough(write):
    train, valid, _ = write(many(), share=0.5)
    assert (len(train), len(valid)) == (8, 2)


def test_images_without_objects_are_kept_on_request(write):
    images = {"train": [DOG], "b": [DOG], "train c": [], "d": [(*DOG, 1)]}
    train, valid, summary = write(images, by_name=True)
    assert (len(train), len(valid)) == (1, 1)
    assert "2 images left out, they have no object (keep_empty=False): " in summary
    assert "1 difficult objects left out (keep_difficult=False): d.jpg" in summary
    train, valid, _ = write(images, by_name=True, keep_empty=True, force=True)
    assert train == ['"train c.jpg"', "train.jpg 3 4 12 9 0"]
    assert valid == ["b.jpg 3 4 12 9 0", "d.jpg"]
    assert "d.jpg 3 4 12 9 0" in write(images, by_name=True, keep_difficult=True, force=True)[1]


def test_classes_get_other_names_and_the_order_of_the_list(write):
    images = {"train": [("hound", DOG[1]), CAT], "b": [CAT]}
    train, _, _ = write(images, ["dog", "cat"], by_name=True, remap={"hound": "dog"})
    assert train == ["train.jpg 3 4 12 9 0 1 1 32 24 1"]


def test_small_objects_are_left_out_on_request(write):
    images = {"train": [("dog", (1, 1, 1, 20)), ("dog", (1, 1, 3, 2)), DOG], "b": [DOG]}
    train, _, summary = write(images, by_name=True, drop_small=224)
    assert train == ["train.jpg 1 1 3 2 0 3 4 12 9 0"]  # 3 · 224 / 32 is 21 pixels
    assert "1 boxes dropped, at most one pixel wide" in summary
    (other,), _, summary = write(
        {**images, "train": [("dog", (1, 1, 2, 2)), DOG]}, by_name=True, drop_small=150, force=True
    )
    assert other == "train.jpg 3 4 12 9 0"  # 2 · 150 / 32 and 2 · 150 / 24 are 9.4 and 12.5 pixels
    assert "1 objects left out, below 14 pixels in width and height once the picture is resized" in summary


def test_fractions_are_cut_off_and_what_sticks_out_is_clipped(write):
    train, _, _ = write({"train": [("dog", (3.7, 4, 12.9, 9)), ("dog", (0, 0, 33, 25))], "b": [DOG]}, by_name=True)
    assert train == ["train.jpg 3 4 12 9 0 1 1 32 24 0"]


def test_files_that_exist_are_kept(write, tmp_path):
    before = write(many())
    with pytest.raises(DataError, match=r"voc_train.txt and .*voc_valid.txt exists already; pass --force to replace"):
        write(many())
    assert (tmp_path / "meta/voc_train.txt").read_text().splitlines() == before[0]


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        ({"a": [DOG]}, {}, r"voc_train.txt would be empty: of 1 annotations 1 images are written, 0 of them to train"),
        ({"train": [DOG]}, {"by_name": True}, r"voc_valid.txt would be empty: of 1 annotations 1 images are"),
        (
            many(),
            {"classes": ["cat"]},
            r"20 objects have a class that is not in classes \(cat\): 'dog' \(20, .* with --skip-unk",
        ),
        ({"a": [("dog", (9, 3, 2, 9))]}, {}, r"a.xml: the box of 'dog' .* ends before it begins.*\n.*--repair"),
        (many(), {"classes": [f"c{i}" for i in range(246)]}, r"classes: there are 246 classes; GNetDet takes up"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is(write, tmp_path, images, options, sentence):
    with pytest.raises(DataError, match=sentence):
        write(images, **options)
    assert not (tmp_path / "meta").exists()


def test_unknown_classes_are_left_out_on_request(write):
    train, _, summary = write(many(), ["cat"], skip_unknown_classes=True)
    assert train[0].endswith(".jpg 1 1 32 24 0")
    assert "20 objects passed over, their class is not in classes" in summary


def test_missing_images_are_named(write_voc):
    root = write_voc(many(2))
    (root / "JPEGImages/01.jpg").unlink()
    with pytest.raises(DataNotFoundError, match=r"1 of 2 files named by annotations are missing in .*JPEGImages: 01"):
        voc_to_meta(MetaFiles.beside(root), MetaChoice())


def loader(**dataset):
    return {"type": "DataLoader", "dataset": {"type": "RepeatDataset", "times": 2, "dataset": dataset}}


def test_a_config_says_where_everything_lies():
    common = {"type": "GNetMeta", "img_path": "data/x/JPEGImages", "classes": ["dog"]}
    cfg = {
        "data_loader": loader(meta_file="m/t.txt", **common),
        "val_data_loader": loader(meta_file="m/v.txt", **common),
    }
    files = MetaFiles.of_config(cfg, "x.py")
    assert [str(path) for path in (files.voc_dir, files.train, files.valid)] == ["data/x", "m/t.txt", "m/v.txt"]
    assert files.classes == ["dog"]
    for other in ({}, {**cfg, "val_data_loader": loader(type="Coco")}, {**cfg, "data_loader": loader(type="GNetMeta")}):
        with pytest.raises(
            ConfigError, match=r"x.py: (val_)?data_loader reads no data set of type GNetMeta whose img_p"
        ):
            MetaFiles.of_config(other, "x.py")
