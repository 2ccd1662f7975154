import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from hatlite.data.sampler import EpochBatchSampler, EpochSampler, FirstSampler, build_distributed_sampler
from hatlite.errors import BuildError


def test_without_shuffle_the_order_is_the_order():
    assert list(EpochSampler(4, shuffle=False, seed=0)) == [0, 1, 2, 3]


def test_batches_by_hand():
    batches = EpochBatchSampler(EpochSampler(5, shuffle=False, seed=0), 2, drop_last=False)
    batches.set_epoch(3)
    assert list(batches) == [[(3, 0), (3, 1)], [(3, 2), (3, 3)], [(3, 4)]]
    batches.set_epoch(4, start_step=2)
    assert list(batches) == [[(4, 4)]]
    assert len(batches) == 3


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_shares_are_all_batches_once_in_turn(count, batch_size, processes, start_step):
    batches = EpochBatchSampler(EpochSampler(count, shuffle=True, seed=1), batch_size, drop_last=False)
    whole = list(batches)
    for rank in range(processes):
        batches.share = (rank, processes)
        batches.set_epoch(0)
        assert list(batches) == whole[rank::processes]
        assert len(batches) == len(whole)
        batches.set_epoch(0, start_step)
        assert list(batches) == whole[rank::processes][start_step:]


@given(st.integers(1, 30), st.integers(1, 7), st.booleans(), st.integers(0, 2**40), st.integers(0, 99))
def test_every_epoch_is_a_permutation(count, batch_size, drop_last, seed, epoch):
    batches = EpochBatchSampler(EpochSampler(count, shuffle=True, seed=seed), batch_size, drop_last)
    batches.set_epoch(epoch)
    drawn = list(batches)
    assert drawn == list(batches)  # the order does not move on by itself
    assert len(drawn) == len(batches)
    indices = [index for batch in drawn for _, index in batch]
    assert len(set(indices)) == len(indices) == (count // batch_size * batch_size if drop_last else count)


def test_seed_and_epoch_each_give_an_order_of_their_own():
    orders = set()
    for seed in range(4):
        sampler = EpochSampler(20, shuffle=True, seed=seed)
        for epoch in range(4):
            sampler.set_epoch(epoch)
            orders.add(tuple(sampler))
    assert len(orders) == 16


def test_the_distributed_sampler_without_a_process_group():
    assert not torch.distributed.is_initialized()
    sampler = build_distributed_sampler(dataset=range(6), seed=3)
    assert isinstance(sampler, DistributedSampler)
    assert (sampler.num_replicas, sampler.rank, sampler.seed) == (1, 0, 3)
    assert sorted(sampler) == list(range(6))


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 4), st.booleans(), st.integers(0, 3))
def test_split_batches_are_the_global_batches(count, batch_size, processes, drop_last, start_step):
    order = EpochSampler(count, shuffle=True, seed=1)
    whole = EpochBatchSampler(order, batch_size * processes, drop_last)
    parts = [EpochBatchSampler(order, batch_size, drop_last) for _ in range(processes)]
    for rank, part in enumerate(parts):
        part.split = (rank, processes)
        part.set_epoch(0, start_step)
        assert len(part) == len(whole)
    whole.set_epoch(0, start_step)
    for batch, *own in zip(whole, *parts, strict=True):
        assert all(own) and max(map(len, own)) <= batch_size
        together = [pair for pairs in own for pair in pairs]
        assert set(together) == set(batch) and len(together) == max(len(batch), processes)
        assert max(map(len, own)) - min(map(len, own)) <= 1


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3))
def test_a_distributed_sampler_is_shared_out_as_its_replicas_would_be(batches, batch_size, epoch):
    count = 2 * batches * batch_size
    for rank in range(2):
        ours = EpochBatchSampler(build_distributed_sampler(dataset=range(count), seed=3), batch_size, False)
        ours.split = (rank, 2)
        replica = build_distributed_sampler(dataset=range(count), num_replicas=2, rank=rank, seed=3)
        theirs = EpochBatchSampler(replica, batch_size, False)
        for sampler in (ours, theirs):
            sampler.set_epoch(epoch)
        assert list(ours) == list(theirs)


def test_replicas_share_the_samples():
    parts = [list(build_distributed_sampler(dataset=range(6), num_replicas=2, rank=rank)) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == list(range(6))


def test_the_first_samples_are_as_many_as_there_are():
    assert list(FirstSampler(range(10), 3)) == [0, 1, 2]
    assert list(FirstSampler(range(2), count=3, seed=5)) == [0, 1] and len(FirstSampler(range(2), 3)) == 2
    with pytest.raises(BuildError, match=r"^FirstSampler: count is 0; expected at least 1\.$"):
        FirstSampler(range(2), 0)
