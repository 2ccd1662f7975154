import pytest

from hatlite.data.datasets.synthetic import CLASSES
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.shapes_file import write_shapes
from hatlite.errors import DataError

OPTIONS = {"num_images": 3, "seed": 5, "size": (64, 80), "layout": "voc"}


def test_what_is_written_is_a_voc_data_set_with_the_shapes_of_coco_s(tmp_path):
    write_shapes(tmp_path / "voc", "train", **OPTIONS)
    write_shapes(tmp_path / "voc", "val", **{**OPTIONS, "num_images": 1})
    dataset = VOCFromImage(tmp_path / "voc", "train", classes=CLASSES)
    assert [dataset[i]["img_name"] for i in range(3)] == [f"train_{i:012d}.jpg" for i in (1, 2, 3)]
    assert dataset[2]["img"].shape == (64, 80, 3)
    assert not dataset.report
    assert len(VOCFromImage(tmp_path / "voc", "val", classes=CLASSES)) == 1
    write_shapes(tmp_path / "coco", "train", **{**OPTIONS, "layout": "coco"})
    pictures = [(tmp_path / "voc/JPEGImages" / f"train_{i:012d}.jpg").read_bytes() for i in (1, 2, 3)]
    assert [p.read_bytes() for p in sorted((tmp_path / "coco/train2017").iterdir())] == pictures


def test_a_split_is_replaced_only_by_force_and_leaves_nothing_of_the_old_one(tmp_path):
    write_shapes(tmp_path, "train", **OPTIONS)
    with pytest.raises(DataError, match=r"train\.txt exists already; pass --force to replace the split"):
        write_shapes(tmp_path, "train", **OPTIONS)
    write_shapes(tmp_path, "train", **{**OPTIONS, "num_images": 1}, force=True)
    assert len(list((tmp_path / "JPEGImages").iterdir())) == 1
    assert len(list((tmp_path / "Annotations").iterdir())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Annotations", "ImageSets", "JPEGImages"]
