"""Where lines are kept, and whose they are by that."""

from datetime import UTC, datetime

import pytest

from service.domain.log_places import place_below, place_of_job, place_of_variant, variant_at


def test_a_place_tells_whose_lines_it_has() -> None:
    place = str(place_of_variant("iris", "forest", "a model"))
    assert variant_at(place) == ("iris", "forest")
    assert variant_at(place_below(place, "first-container")) == ("iris", "forest")


@pytest.mark.parametrize(
    "place",
    [
        str(place_of_variant("/models/iris", "forest", "a model")),  # a registered one has no endpoint
        str(place_of_job("job", datetime(2026, 1, 2, tzinfo=UTC))),
        "",
        "no place",
    ],
)
def test_places_of_others_are_no_variants(place: str) -> None:
    assert variant_at(place) is None
