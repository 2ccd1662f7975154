import threading

import pytest

from hatlite.data.parallel import CHUNK_PER_WORKER, ordered_map


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_results_keep_the_order(num_workers):
    assert list(ordered_map(lambda n: n * n, range(500), num_workers)) == [n * n for n in range(500)]


def test_several_threads_work():
    barrier = threading.Barrier(2, timeout=20)  # nobody passes alone
    assert len(list(ordered_map(lambda _: barrier.wait(), range(2), 2))) == 2


def test_items_are_taken_as_results_are():
    taken = []
    results = ordered_map(lambda n: n, (taken.append(n) or n for n in range(10_000)), 2)
    assert next(results) == 0
    assert len(taken) == 2 * CHUNK_PER_WORKER
    results.close()


def test_an_error_arrives_where_results_are_taken():
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda n: 1 // n, [1, 0], 2))
