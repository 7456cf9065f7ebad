"""Sums of numbers: as exact for those that are far from 0, and the same in whichever parts they are added."""

import random
from fractions import Fraction

import pytest

from service.experiments.sums import Sums, count_up, sum_up
from service.experiments.verdict import Question, judge


def numbers(offset: float, count: int = 500, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [offset + draw.gauss(0, 1) for _ in range(count)]


def exact_deviations(values: list[float]) -> float:
    mean = sum(map(Fraction, values)) / len(values)
    return float(sum((Fraction(value) - mean) ** 2 for value in values))


@pytest.mark.parametrize("offset", [0.0, -3e4, 5e7, 1.7e9, 1.7e12])
def test_numbers_that_are_far_from_0_vary_as_much_as_others(offset: float) -> None:
    values = numbers(offset)
    sums = sum_up(values)

    assert sums.deviations == pytest.approx(exact_deviations(values), rel=1e-6)
    assert sums.mean == pytest.approx(float(sum(map(Fraction, values)) / len(values)), rel=1e-14)


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_parts_that_begin_with_other_numbers_add_up_to_the_whole(offset: float) -> None:
    values = numbers(offset)
    added = sum((sum_up(values[first : first + 50]) for first in range(0, 500, 50)), Sums())

    assert added.count == 500
    assert added.mean == pytest.approx(sum_up(values).mean, rel=1e-14)
    assert added.deviations == pytest.approx(exact_deviations(values), rel=1e-6)
    assert Sums() + added == added == added + Sums()


def test_shares_and_signs_are_not_shifted() -> None:
    assert sum_up([1.0, 0.0, 1.0]) == count_up(2, 3)
    assert sum_up([-1.0, 0.0, 1.0]) == Sums(3, 0.0, 2.0)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1.7e9, 1.7e12])
def test_a_difference_is_found_and_none_is_wherever_the_numbers_lie(offset: float) -> None:
    question = Question("a", binary=False)
    low, same = sum_up(numbers(offset, seed=1)), sum_up(numbers(offset, seed=2))
    high = sum_up(numbers(offset + 0.5, seed=3))

    comparisons = judge(question, {"a": [low], "b": [same], "c": [high]})["comparisons"]

    assert [each["decision"] for each in comparisons] == ["open", "better"]
    assert comparisons[1]["lower"] < 0.5 < comparisons[1]["upper"]


def test_of_numbers_that_do_not_vary_it_is_not_said_that_two_more_would_do() -> None:
    eight, seven = sum_up([8.0] * 60), sum_up([7.0] * 60)

    (comparison,) = judge(Question("a", binary=False), {"a": [eight], "b": [seven]})["comparisons"]

    assert comparison["decision"] == "open"
    assert comparison["sentence"] == (
        "All outcomes of a are equal, and all of b: what is chance cannot be told from them."
    )
