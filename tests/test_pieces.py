"""Long work in pieces."""

import pytest

from service.pieces import in_pieces


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_each_item_comes_once_in_its_order(count: int) -> None:
    items = [*range(count)]

    pieces = [*in_pieces(items)]

    assert [item for piece in pieces for item in piece] == items
    assert all(pieces)


def test_a_long_list_comes_in_more_than_one_piece() -> None:
    assert len([*in_pieces(range(1000))]) > 10
