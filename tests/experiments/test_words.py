from math import inf

import pytest

from service.experiments.words import about, as_duration, as_range, as_size, say_others


@pytest.mark.parametrize(
    ("near", "far", "binary", "words"),
    [
        (0.021, 0.048, True, "2.1 to 4.8 points"),
        (0.002, 0.01, True, "0.2 to 1 point"),
        (0.1234, 0.5, True, "12 to 50 points"),
        (1.5, 20.0, False, "1.5 to 20"),
        (0.00123, 1234.5, False, "0.0012 to 1,234"),
        (0.02, inf, True, "at least 2 points"),
        (0.0, 0.0, False, "0 to 0"),
    ],
)
def test_differences_have_two_digits_that_mean_something(
    near: float, far: float, binary: bool, words: str
) -> None:
    assert as_range(near, far, binary) == words


def test_one_point_is_one() -> None:
    assert as_size(0.01, True) == "1 point"


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0"), (7, "7"), (3_412, "3,400"), (98_765, "99,000"), (12.4, "12")]
)
def test_counts_are_rough(count: float, words: str) -> None:
    assert about(count) == words


@pytest.mark.parametrize(
    ("time_s", "words"),
    [
        (0.1, "1 s"),
        (59, "59 s"),
        (60, "1 minute"),
        (5_400, "1.5 hours"),
        (216_000, "2.5 days"),
        (86_400, "1 day"),
    ],
)
def test_times_are_in_the_unit_that_suits_them(time_s: float, words: str) -> None:
    assert as_duration(time_s) == words


@pytest.mark.parametrize(
    ("outcomes", "judged"), [({}, None), ({"click": 3}, "click"), ({"click": 3}, "clik")]
)
def test_where_nothing_else_is_reported_nothing_is_said_of_it(
    outcomes: dict[str, int], judged: str | None
) -> None:
    assert say_others("shop", outcomes, judged) == ""


def test_of_many_other_outcomes_the_most_frequent_are_named() -> None:
    said = say_others("shop", {f"x{number:02}": 1_000 + number for number in range(13)}, "x12")

    assert said.startswith("Also reported: x11 (1,011), x10 (1,010), ")
    assert said.endswith(", x02 (1,002), 2 more: sagebird experiment shop --outcome x11")
