"""Long work in pieces."""

from time import perf_counter

import pytest

from service.pieces import in_pieces


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000, 100_000])
def test_each_item_comes_once_in_its_order(count: int) -> None:
    pieces = [*in_pieces(iter(range(count)))]

    assert [item for piece in pieces for item in piece] == [*range(count)]
    assert all(pieces)


def test_there_is_a_pause_before_each_piece_but_the_first() -> None:
    pieces = in_pieces(range(1000))
    next(pieces)

    began_s = perf_counter()
    number = sum(1 for _ in pieces)

    assert number > 10
    assert perf_counter() - began_s >= number * 0.0004


def test_of_very_many_items_pieces_are_longer_so_that_pauses_stay_few() -> None:
    assert sum(1 for _ in in_pieces(range(400_000))) < 500
