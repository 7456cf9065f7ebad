from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from service.domain.stored import StateCodec
from service.errors import StateDamaged


@dataclass(frozen=True, slots=True)
class Cup:
    size_ml: int
    colour: str = "white"


def lift_size(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Format 1 had centilitres."""
    return {**state, "size_ml": state["size_cl"] * 10}


PLAIN = StateCodec(Cup)
LIFTING = StateCodec(Cup, [lift_size])


def test_what_is_missing_has_its_default_and_what_is_unknown_is_passed_over() -> None:
    assert PLAIN.read({"size_ml": 200, "handle": True}) == Cup(200)


def test_states_of_the_first_format_do_not_say_so() -> None:
    assert PLAIN.write(Cup(200)) == {"size_ml": 200, "colour": "white"}


def test_an_older_format_is_lifted_and_the_present_and_later_ones_are_not() -> None:
    assert LIFTING.read({"size_cl": 20}) == Cup(200)
    assert LIFTING.read(LIFTING.write(Cup(200))) == Cup(200)
    assert LIFTING.read({"format": 3, "size_ml": 200, "size_cl": 7}) == Cup(200)


@pytest.mark.parametrize("state", [{}, {"size_ml": "much"}, {"size_ml": 1, "colour": None}])
def test_a_state_that_makes_no_value_is_damaged(state: Mapping[str, Any]) -> None:
    with pytest.raises(StateDamaged, match=r"size_ml|colour"):
        PLAIN.read(state)


def test_names_that_are_no_text_elsewhere_come_back() -> None:
    odd = Cup(1, "\udcff\0")

    assert PLAIN.read(PLAIN.write(odd)) == odd
