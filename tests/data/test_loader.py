import gc
import os
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

from hatlite.data import build_data_loader, set_epoch
from hatlite.data.loader import split_batches, whole_batches
from hatlite.data.transforms import Normalize, RandomCrop, RandomFlip, ToTensor
from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY

TRANSFORMS = [RandomCrop((8, 8)), RandomFlip(), ToTensor(), Normalize(128, 128)]


class Pictures:
    """Random pictures of 12 × 12, made from their index."""

    classes = ("cell",)

    def __init__(self, count=7, bad=None):
        self.count, self.bad = count, bad

    def __len__(self):
        return self.count

    def get(self, index, rng):
        if index == self.bad:
            raise DataError(f"image {index}.jpg is a truncated JPEG")
        sample = {
            "img": np.random.default_rng(index).integers(0, 256, (12, 12, 3), dtype=np.uint8),
            "gt_bboxes": np.array([[1, 2, 9, 10]], np.float32),
            "gt_classes": np.array([0]),
            "img_id": index,
            "img_name": f"{index}.jpg",
            "orig_size": (12, 12),
            "matrix": np.eye(3),
        }
        for transform in TRANSFORMS:
            sample = transform(sample, rng)
        return sample


def build(**kwargs):
    cfg = {"type": DataLoader, "dataset": Pictures(), "batch_size": 2, **kwargs}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return OBJECT_REGISTRY.build(cfg)


def epochs(loader, numbers):
    drawn = []
    for epoch in numbers:
        set_epoch(loader, epoch)
        drawn += [(batch["img_id"], batch["img"].clone()) for batch in loader]
    return drawn


def assert_equal_batches(a, b):
    assert [ids for ids, _ in a] == [ids for ids, _ in b]
    assert all(torch.equal(x, y) for (_, x), (_, y) in zip(a, b, strict=True))


def test_a_batch_of_the_tutorials_loader():
    loader = build(
        sampler={"type": DistributedSampler},
        shuffle=False,
        num_workers=0,
        pin_memory=True,
        collate_fn={"type": "Collate2D"},
    )
    batches = list(loader)
    assert isinstance(loader, DataLoader)
    assert len(loader) == len(batches) == 4
    assert batches[0]["img"].shape == (2, 3, 8, 8)
    assert sorted(i for batch in batches for i in batch["img_id"]) == list(range(7))
    assert loader.dataset.classes == ("cell",)


@pytest.mark.parametrize("order", [{"shuffle": True}, {"sampler": {"type": DistributedSampler}}, {}])
def test_workers_change_nothing(order):
    alone = epochs(build(seed=3, **order), [0, 1])
    torch.manual_seed(99)  # nor does torch's global generator
    assert_equal_batches(alone, epochs(build(seed=3, num_workers=2, **order), [0, 1]))


def test_epochs_and_seeds_differ():
    loader = build(shuffle=True)
    first, second = epochs(loader, [0]), epochs(loader, [1])
    assert [ids for ids, _ in first] != [ids for ids, _ in second]
    assert [ids for ids, _ in first] != [ids for ids, _ in epochs(build(shuffle=True, seed=1), [0])]
    plain = build()
    assert any(not torch.equal(a, b) for (_, a), (_, b) in zip(epochs(plain, [0]), epochs(plain, [1]), strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_an_epoch_and_within_one(workers):
    whole = epochs(build(shuffle=True), [0, 1])
    loader = build(shuffle=True, num_workers=workers)
    assert_equal_batches(whole[4:], epochs(loader, [1]))
    set_epoch(loader, 1, start_step=3)
    assert_equal_batches(whole[7:], [(batch["img_id"], batch["img"]) for batch in loader])
    assert_equal_batches(whole[:4], epochs(loader, [0]))


def test_the_sampler_takes_the_loaders_seed_unless_it_has_one():
    assert build(seed=4, sampler={"type": DistributedSampler}).batch_sampler.sampler.seed == 4
    assert build(seed=4, sampler={"type": DistributedSampler, "seed": 9}).batch_sampler.sampler.seed == 9


def test_a_ready_sampler_is_taken():
    loader = build_data_loader(dataset=Pictures(), batch_size=2, sampler=[4, 1, 3], drop_last=True)
    assert [batch["img_id"] for batch in loader] == [[4, 1]]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_comes_out_of_a_worker_as_it_was(workers):
    loader = build(dataset=Pictures(bad=3), num_workers=workers)
    with pytest.raises(DataError, match=r"^image 3.jpg is a truncated JPEG$"):
        list(loader)
    assert next(iter(loader))["img_id"] == [0, 1]  # and the loader can go on


def test_an_error_does_not_keep_the_loader_alive():
    loader = build(dataset=Pictures(bad=0))
    alive = weakref.ref(loader)
    gc.disable()
    try:
        try:
            list(loader)
        except DataError:
            pass
        del loader
        assert alive() is None
    finally:
        gc.enable()


def test_more_workers_than_cores_are_not_started():
    assert build(num_workers=500).num_workers <= os.cpu_count()


@pytest.mark.skipif(torch.cuda.is_available(), reason="memory is pinned where there is a CUDA device")
def test_pinning_without_cuda_is_silent():
    assert build(pin_memory=True).pin_memory is False


def test_an_empty_data_set():
    with pytest.raises(DataError, match="the data set Pictures is empty; check its path"):
        build(dataset=Pictures(0))


def test_no_full_batch():
    with pytest.raises(DataError, match="Pictures has 7 images, no full batch of 8; lower it or set drop_last=False"):
        build(batch_size=8, drop_last=True)


def test_shuffle_and_a_sampler():
    with pytest.raises(BuildError, match="shuffle is True and there is a sampler"):
        build(shuffle=True, sampler={"type": DistributedSampler})


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("num_workers", -1), ("seed", -1)])
def test_numbers_are_checked(key, value):
    with pytest.raises(BuildError, match=rf"DataLoader: {key} is {value}; expected a whole number"):
        build(**{key: value})


def test_a_data_set_without_get():
    with pytest.raises(BuildError, match=r"list has no method get\(index, rng\); derive it from .*DetectionDataset"):
        build(dataset=[1, 2])


def test_an_unknown_key_is_refused():
    with pytest.raises(BuildError, match=r"unexpected key 'num_worker'.*\n.*Did you mean 'num_workers'"):
        build(num_worker=2)


def test_an_unknown_key_of_the_sampler_is_found_before_building():
    problems = OBJECT_REGISTRY.check(
        {"type": DataLoader, "dataset": None, "sampler": {"type": DistributedSampler, "a": 1}}
    )
    assert [problem.path for problem in problems] == ["config['sampler']"]


class Numbers:
    classes = ("one",)

    def __len__(self):
        return 5

    def get(self, index, rng):
        return {"img": torch.full((3, 2, 2), float(index)), "img_id": index}


def numbers(**more):
    return build_data_loader(dataset=Numbers(), batch_size=2, **more)


def ids(batches):
    return [batch["img_id"] for batch in batches]


def test_whole_batches_are_shared_and_the_loader_is_left_as_it_was():
    loader = numbers(sampler={"type": torch.utils.data.DistributedSampler, "shuffle": False})
    split_batches(loader, 1, 2)
    assert (len(loader), ids(loader)) == (2, [[1, 3], [4]])
    with whole_batches(loader, 0, 2) as batches:
        assert (len(loader), ids(batches)) == (3, [[0, 1], [4]])
    with whole_batches(loader, 1, 2) as batches:
        assert ids(batches) == [[2, 3]]
    assert ids(loader) == [[1, 3], [4]]


def test_any_iterable_can_be_shared_but_not_split():
    with whole_batches("abcde", 1, 2) as batches:
        assert list(batches) == ["b", "d"]
    split_batches("abc", 0, 1)
    with pytest.raises(DataError, match="str cannot be shared out among 2 processes; use a dict.type=torch.utils.data"):
        split_batches("abc", 0, 2)


def test_replicas_of_the_config_are_left_alone_but_never_evaluated():
    loader = numbers(sampler={"type": torch.utils.data.DistributedSampler, "num_replicas": 2, "rank": 1})
    split_batches(loader, 1, 2)
    assert loader.batch_sampler.split == (0, 1)
    refused = "DistributedSampler has shared out the images among 2 processes before their batches can be; leave"
    with pytest.raises(DataError, match=refused), whole_batches(loader, 0, 2):
        pass
