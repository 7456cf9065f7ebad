"""For how many rows a program is taken for the faster one, by what was measured of some."""

import pytest

from service.hosting.programs.agreement import Disagreement
from service.hosting.programs.speeds import Speeds, faster_for

_FEW = ((1, 3e-3, 1e-5), (256, 4e-3, 1e-3))


@pytest.mark.parametrize(
    ("last", "most"),
    [
        ((2048, 11e-3, 5e-3), float("inf")),  # it gains with each row
        ((2048, 11e-3, 8e-3), float("inf")),  # as good as none
        ((2048, 11e-3, 8.4e-3), float("inf")),  # about as good: no more than measuring errs by
        ((2048, 11e-3, 10e-3), 2944.0),  # it loses 1.1 us a row
        ((2048, 11e-3, 12e-3), 256),  # it is slower by then
    ],
)
def test_it_is_so_up_to_where_both_take_as_long(last: tuple[int, float, float], most: float) -> None:
    speeds: Speeds = (*_FEW, last)

    first, found = faster_for(speeds)

    assert first == 1
    assert found == pytest.approx(most)


def test_small_numbers_may_be_too_few() -> None:
    assert faster_for(((1, 1e-5, 2e-5), (8, 4e-5, 3e-5), (64, 3e-4, 5e-5))) == (8, float("inf"))


def test_one_size_alone_says_nothing_of_others() -> None:
    assert faster_for(((1, 2e-5, 1e-5),)) == (1, float("inf"))


def test_a_program_that_is_never_faster_is_none() -> None:
    with pytest.raises(Disagreement, match="not faster"):
        faster_for(((1, 1e-5, 2e-5), (8, 1e-5, 2e-5)))
