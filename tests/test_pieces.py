"""Long work in pieces."""

from time import perf_counter, sleep

import pytest

from service.pieces import Pieces


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000, 100_000])
def test_each_item_comes_once_in_its_order(count: int) -> None:
    pieces = [*Pieces().of(iter(range(count)))]

    assert [item for piece in pieces for item in piece] == [*range(count)]
    assert all(pieces)


def test_there_is_a_pause_before_each_piece_but_the_first() -> None:
    pieces = Pieces().of(range(1000))
    next(pieces)

    began_s = perf_counter()
    number = sum(1 for _ in pieces)

    assert number > 40
    assert perf_counter() - began_s >= number * 0.0004


def test_it_rests_for_as_long_as_it_worked() -> None:
    pieces = Pieces().of(range(64))
    worked_s, began_s = list[float](), perf_counter()
    for _ in pieces:
        start_s = perf_counter()
        sleep(0.02)
        worked_s.append(perf_counter() - start_s)

    rested_s = sum(worked_s[:-1])  # nothing follows the last one, so there is no rest behind it
    assert perf_counter() - began_s >= sum(worked_s) + rested_s


def test_pieces_get_longer_over_all_that_one_work_goes_through() -> None:
    work = Pieces()
    by_many = sum(sum(1 for _ in work.of(range(4_000))) - 1 for _ in range(100))

    assert by_many < 2_000
    assert sum(1 for _ in Pieces().of(range(400_000))) < 2_000
