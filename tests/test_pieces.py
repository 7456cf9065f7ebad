"""Long work in pieces."""

from time import perf_counter

import pytest

from service.pieces import Pieces


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000, 100_000])
def test_each_item_comes_once_in_its_order(count: int) -> None:
    pieces = [*Pieces().of(iter(range(count)))]

    assert [item for piece in pieces for item in piece] == [*range(count)]
    assert all(pieces)


def test_there_is_a_pause_before_each_piece_but_the_first() -> None:
    pieces = Pieces().of(range(1000))
    next(pieces)

    began_s = perf_counter()
    number = sum(1 for _ in pieces)

    assert number > 10
    assert perf_counter() - began_s >= number * 0.0004


def test_pieces_get_longer_over_all_that_one_work_goes_through() -> None:
    work = Pieces()
    by_many = sum(sum(1 for _ in work.of(range(4_000))) - 1 for _ in range(100))

    assert by_many < 500
    assert sum(1 for _ in Pieces().of(range(400_000))) < 500
