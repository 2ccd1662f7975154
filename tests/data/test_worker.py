import signal

import cv2
import numpy as np
import pytest
import torch

from hatlite.data.worker import CatchingCollate, Failure, SeededDataset, start_worker
from hatlite.errors import DataError


class Noise:
    classes = ("cell",)

    def __len__(self):
        return 3

    def get(self, index, rng):
        if index == 2:
            raise DataError("image c.jpg is bad")
        return index, rng.integers(1 << 60)


def test_a_sample_is_a_function_of_seed_epoch_and_index():
    drawn = {SeededDataset(Noise(), seed)[epoch, index] for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)}
    assert len({value for _, value in drawn}) == 8
    assert SeededDataset(Noise(), 5)[2, 1] == (1, np.random.default_rng((5, 2, 1)).integers(1 << 60))


def test_length_and_classes_are_those_of_the_data_set():
    dataset = SeededDataset(Noise(), 0)
    assert len(dataset) == 3
    assert dataset.classes == ("cell",)


def test_the_first_failure_takes_the_place_of_the_batch():
    samples = [SeededDataset(Noise(), 0)[0, index] for index in (0, 2)]
    failure = CatchingCollate(list)(samples)
    assert isinstance(failure, Failure)
    assert str(failure.error) == "image c.jpg is bad"


def test_a_failure_of_collating_too():
    def collate(samples):
        raise DataError("sizes differ")

    assert str(CatchingCollate(collate)([1]).error) == "sizes differ"


def test_other_errors_are_bugs_and_pass():
    with pytest.raises(ZeroDivisionError):
        CatchingCollate(lambda samples: 1 / 0)([1])


def test_a_worker_has_one_thread_and_leaves_ctrl_c_alone():
    torch_threads, cv_threads, handler = torch.get_num_threads(), cv2.getNumThreads(), signal.getsignal(signal.SIGINT)
    try:
        start_worker(0)
        assert torch.get_num_threads() == 1
        assert cv2.getNumThreads() == 1
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv_threads)
        signal.signal(signal.SIGINT, handler)
