"""Traffic by what is known of outcomes: as draws would share it out, and never less than the floor."""

import random
from collections.abc import Sequence

import pytest

from service.experiments.allotment import Allotment, Policy, allot
from service.experiments.sums import Sums, count_up, sum_up

_DRAWS = 20_000


def clicks(**successes: int) -> dict[str, list[Sums]]:
    """A hundred outcomes of each variant, so many of them clicks."""
    return {name: [count_up(number, 100)] for name, number in successes.items()}


def allotted(
    outcomes: dict[str, list[Sums]],
    policy: Policy = "thompson",
    *,
    floor: float = 0.01,
    binary: bool = True,
    less: bool = False,
) -> Allotment:
    found = allot(policy, outcomes, binary=binary, more_is_better=not less, floor=floor)
    assert found is not None
    assert sum(found.shares.values()) == pytest.approx(1)
    assert sum(found.best.values()) == pytest.approx(1)
    return found


def drawn(successes: Sequence[int], seed: int) -> list[float]:
    """How often each is the best of draws from the posteriors of so many clicks of a hundred."""
    source, wins = random.Random(seed), [0] * len(successes)
    for _ in range(_DRAWS):
        draws = [source.betavariate(1 + number, 101 - number) for number in successes]
        wins[draws.index(max(draws))] += 1
    return [number / _DRAWS for number in wins]


@pytest.mark.parametrize("successes", [(20, 30), (0, 3), (50, 50, 55), (5, 9, 7, 6), (99, 100)])
def test_a_variant_has_what_it_would_have_by_single_draws(successes: tuple[int, ...]) -> None:
    found = allotted(clicks(**{f"v{n}": number for n, number in enumerate(successes)}), floor=0)

    assert [*found.shares.values()] == pytest.approx(drawn(successes, 3), abs=0.02)
    assert found.shares == found.best


def test_nobody_falls_below_the_floor_and_less_may_be_better() -> None:
    sure = {"a": [count_up(100, 10_000)], "b": [count_up(900, 10_000)], "c": [count_up(100, 10_000)]}

    assert allotted(sure).shares == pytest.approx({"a": 0.01, "b": 0.98, "c": 0.01})
    assert allotted(sure, less=True).shares == pytest.approx({"a": 0.495, "b": 0.01, "c": 0.495})
    assert allotted(sure, floor=0.2).shares["a"] == pytest.approx(0.2)


def test_top_two_has_whoever_may_be_second_tried_as_much_as_the_best() -> None:
    found = allotted(clicks(a=20, b=30, c=26), "top-two", floor=0)

    a, b, c = found.best.values()
    second = {
        "a": a * (b / (1 - b) + c / (1 - c)),
        "b": b * (a / (1 - a) + c / (1 - c)),
        "c": c * (a / (1 - a) + b / (1 - b)),
    }
    assert found.shares == pytest.approx({name: (found.best[name] + second[name]) / 2 for name in "abc"})
    assert found.shares["b"] < 0.6 < found.best["b"]
    two = allotted({name: [count_up(number, 10**6)] for name, number in (("a", 1), ("b", 10**5))}, "top-two")
    assert two.shares == pytest.approx({"a": 0.5, "b": 0.5})


def test_numbers_are_shared_out_by_their_means_and_how_sure_these_are() -> None:
    source = random.Random(5)
    numbers = {
        name: [sum_up(source.gauss(mean, 2) for _ in range(400))] for name, mean in (("a", 10.0), ("b", 10.2))
    }

    found = allotted(numbers, binary=False, floor=0)

    one, two = numbers["a"][0], numbers["b"][0]
    error = ((one.deviations / 399 + two.deviations / 399) / 400) ** 0.5
    draws = [source.gauss(two.mean - one.mean, error) > 0 for _ in range(_DRAWS)]
    assert found.shares["b"] == pytest.approx(sum(draws) / _DRAWS, abs=0.02)
    equal = {name: [sum_up([value] * 60)] for name, value in (("a", 1e9), ("b", 1e9 + 100))}
    assert allotted(equal, binary=False, floor=0).shares == pytest.approx({"a": 0.0, "b": 1.0})


def test_a_variant_with_more_traffic_in_good_times_is_not_taken_for_a_better_one() -> None:
    good, bad = 0.8, 0.2
    outcomes = {
        "a": [count_up(round(900 * bad), 900), count_up(round(100 * good), 100)],
        "b": [count_up(round(100 * bad), 100), count_up(round(900 * good), 900)],
    }

    assert allotted(outcomes, floor=0).shares == pytest.approx({"a": 0.5, "b": 0.5})


def test_many_periods_of_few_outcomes_say_what_they_say_together() -> None:
    """No period adds anything of its own, which would draw rare clicks towards the middle."""
    outcomes = {"a": [count_up(19, 99)] * 60, "b": [count_up(0, 1)] * 48 + [count_up(1, 1)] * 12}

    found = allotted(outcomes, floor=0)

    assert found.best["b"] == pytest.approx(0.55, abs=0.1)


@pytest.mark.parametrize("policy", ["thompson", "top-two"])
def test_whoever_is_best_is_found_though_all_do_better_and_worse_by_the_hour(policy: Policy) -> None:
    source, rates = random.Random(11), {"a": 0.1, "b": 0.16, "c": 0.08}
    shares = dict.fromkeys(rates, 1 / 3)
    periods: list[dict[str, Sums]] = []
    for hour in range(30):
        rise = (hour % 10) / 50
        drawn = {name: round(300 * share) for name, share in shares.items()}
        periods.append(
            {
                name: count_up(sum(source.random() < rates[name] + rise for _ in range(number)), number)
                for name, number in drawn.items()
            }
        )
        found = allotted({name: [period[name] for period in periods] for name in rates}, policy)
        shares = dict(found.shares)
        assert min(shares.values()) >= 0.01

    assert found.best["b"] > 0.95
    assert shares["b"] > (0.9 if policy == "thompson" else 0.48)


def test_nothing_is_said_while_too_little_is_known() -> None:
    for outcomes in (
        clicks(),
        clicks(a=5),
        {"a": [count_up(5, 100)], "b": [count_up(1, 9)]},
        {"a": [count_up(5, 100), Sums()], "b": [Sums(), count_up(5, 100)]},  # never at the same time
    ):
        assert allot("thompson", outcomes, binary=True, more_is_better=True, floor=0.01) is None
    few = {name: [sum_up(range(49))] for name in "ab"}
    assert allot("top-two", few, binary=False, more_is_better=True, floor=0.01) is None
