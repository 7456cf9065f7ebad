"""The document of an experiment, from what a store of outcomes and counters say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.control.experiment import Wish, describe_experiment, objections, write_experiment
from service.domain.endpoint import Endpoint, EndpointStatus, Fleet, ModelSource, Variant
from service.errors import ValidationFault
from service.experiments.reports import Reported
from service.observe.counter import InvocationCounter
from service.store.outcome_tables import Arm, Predicted
from service.store.outcomes import Lately, OutcomeStore

_EVEN, _UNEVEN = (("a", 1.0), ("b", 1.0)), (("a", 3.0), ("b", 1.0))
NOW_S = 1000.0


def endpoint(weights: tuple[tuple[str, float], ...] = _EVEN, generation: int = 1) -> Endpoint:
    variants = tuple(Variant(name, weight, ModelSource(f"file:///m/{name}")) for name, weight in weights)
    return Endpoint(
        "iris", EndpointStatus.IN_SERVICE, Fleet("config", generation, variants), generation=generation
    )


class Told:
    """A store of outcomes that is told what came of numbered predictions."""

    def __init__(self, file: Path) -> None:
        self.store = OutcomeStore(file, 3600.0, 100_000)
        self._number = 0

    def tell(
        self,
        variant: str,
        values: list[float | str],
        name: str = "click",
        weights: tuple[tuple[str, float], ...] = _EVEN,
        answer: Callable[[int], str] = lambda _at: "[0]",
    ) -> None:
        first, self._number = self._number, self._number + len(values)
        arm = Arm("iris", 1, weights, variant)
        ids = [str(number) for number in range(first, self._number)]
        self.store.take_predictions(
            [Predicted(arm, each, None, 900.0, answer(at)) for at, each in enumerate(ids)]
        )
        reports = [Reported(each, name, value, None) for each, value in zip(ids, values, strict=True)]
        self.store.take_reports([("iris", reports)], 901.0)

    def document(
        self,
        wish: Wish = Wish(),  # noqa: B008 - a value
        lately: Lately | None = None,
        quiet_s: float = 0.0,
        **counters: InvocationCounter,
    ) -> dict[str, Any]:
        run = self.store.run("iris")
        tallies = self.store.tallies("iris")
        document = describe_experiment(endpoint(), run, counters, [], NOW_S, wish, lately, tallies, quiet_s)
        found: dict[str, Any] = orjson.loads(write_experiment(document))
        return found


@pytest.fixture
def told(memory_path: Path) -> Iterator[Told]:
    made = Told(memory_path / "outcomes.db")
    yield made
    made.store.close()


def counted(seconds: float, requests: int, errors: int = 0) -> InvocationCounter:
    counter = InvocationCounter()
    counter.count(seconds, 0.0, requests)
    for _ in range(errors):
        counter.count_error(seconds, "ModelError", 5)
    return counter


def clicks(share: float, number: int = 600) -> list[float | str]:
    return [float(at % 100 < share * 100) for at in range(number)]


def test_a_variant_that_is_better_is_named_with_its_lead(told: Told) -> None:
    told.tell("a", clicks(0.2))
    told.tell("b", clicks(0.5))

    document = told.document(a=counted(0.01, 600), b=counted(0.01, 600))

    assert document["better"] == "b"
    assert document["sentence"].startswith("b is better than a by ")
    assert (document["control"], document["outcome"], document["outcomes"]) == ("a", "click", {"click": 1200})
    assert [each["outcome"]["mean"] for each in document["variants"]] == [0.2, 0.5]
    assert document["warnings"] == []
    assert document["tallies"]["counted"] == 1200
    assert told.document(Wish(less=True))["sentence"].startswith("b is worse than a by ")
    assert told.document(Wish(control="b"))["sentence"].startswith("a is worse than b by ")


def test_only_what_is_said_of_a_variant_speaks_against_it(told: Told) -> None:
    told.tell("a", clicks(0.5))
    told.tell("b", clicks(0.2))

    document = told.document(a=counted(0.01, 2_000), b=counted(5.0, 2_000))
    slower, worse = document["warnings"][0], document["sentence"]

    assert slower.startswith("b answers later than a")
    assert [each["warnings"] for each in document["variants"]] == [[], [slower]]
    assert objections(document, "b") == [slower, worse]
    assert objections(document, "a") == []
    assert objections(told.document(Wish(less=True)), "b") == []
    assert objections(told.document(Wish(less=True)), "a") == [told.document(Wish(less=True))["sentence"]]
    assert objections(told.document(Wish(control="b")), "b") == [
        "a is better than b by " + worse.split(" by ")[1]
    ]


def test_labels_are_judged_by_what_was_predicted(told: Told) -> None:
    truth: list[float | str] = [str(at % 2) for at in range(400)]
    told.tell("a", truth, "label", answer=lambda at: f"[{at % 2 if at % 4 else 1}]")
    told.tell("b", truth, "label", answer=lambda at: f"[{at % 2}]")

    document = told.document()

    assert document["sentence"].startswith("b is better than a by ")
    assert [each["quality"]["accuracy"] for each in document["variants"]] == [0.75, 1.0]
    assert document["verdict"]["binary"]


def test_measures_are_better_where_they_are_less_off(told: Told) -> None:
    truth: list[float | str] = [str(at / 7) for at in range(300)]
    told.tell("a", truth, "label", answer=lambda at: f"{at / 7 + 1 + at % 3}")
    told.tell("b", truth, "label", answer=lambda at: f"{at / 7 + (at % 3) / 9}")

    document = told.document()

    assert document["sentence"].startswith("b is better than a by ")
    assert not document["verdict"]["more_is_better"]
    assert document["variants"][1]["quality"]["count"] == 300


def test_the_quality_of_late_stands_beside_that_of_all(told: Told) -> None:
    truth: list[float | str] = [str(at % 2) for at in range(40)]
    told.tell("a", truth, "label", answer=lambda at: f"[{at % 2 if at % 4 else 1}]")
    assert told.document()["window"] is None

    late = told.document(Wish(window="hour"), lately=told.store.lately("iris", 0.0))["window"]
    nothing = told.document(Wish(window="week"))["window"]
    others = told.store.lately("iris", 0.0)
    assert others is not None
    others = replace(others, generation=2)
    assert told.document(Wish(window="hour"), lately=others)["window"]["labels"] == 0  # of other models

    assert (late["last"], late["since"], late["labels"], late["whole"]) == (
        "hour",
        "1969-12-31T23:16:40+00:00",
        40,
        True,
    )
    assert (late["quality"]["a"]["accuracy"], late["quality"]["b"]) == (0.75, None)
    assert (nothing["labels"], nothing["quality"]) == (0, {"a": None, "b": None})


def test_a_challenger_that_fails_or_is_late_is_warned_of_and_not_recommended(told: Told) -> None:
    told.tell("a", clicks(0.2))
    told.tell("b", clicks(0.5))

    document = told.document(a=counted(0.001, 3000), b=counted(0.4, 3000, errors=300))

    assert document["better"] is None
    assert [warning.split(" than ")[0] for warning in document["warnings"]] == [
        "b fails more often",
        "b answers later",
    ]
    assert [each["server_errors"] for each in document["variants"]] == [0, 300]
    assert document["variants"][1]["latency"]["p50_ms"] == 350.0


def test_latencies_are_told_within_buckets_as_the_dashboard_does(told: Told) -> None:
    told.tell("a", clicks(0.2))
    slow = counted(0.4, 300)
    slow.count(0.15, 0.0, 700)

    first, second = told.document(a=slow)["variants"]

    assert first["latency"] == {"p50_ms": 171.0, "p90_ms": 400.0, "p99_ms": 490.0}
    assert second["latency"] == {"p50_ms": None, "p90_ms": None, "p99_ms": None}


def test_traffic_that_is_not_as_the_weights_say_is_warned_of(told: Told) -> None:
    told.tell("a", clicks(0.2, 900))
    told.tell("b", clicks(0.2, 600))

    document = told.document()

    assert document["share_p_value"] < 0.01
    assert document["warnings"][0].startswith("Traffic is not shared out as the weights say")


def test_weights_that_change_make_periods_and_the_control_stays_who_it_was(told: Told) -> None:
    told.tell("a", clicks(0.2, 900), weights=_UNEVEN)
    told.tell("b", clicks(0.2, 300), weights=_UNEVEN)
    told.tell("a", clicks(0.8, 600))
    told.tell("b", clicks(0.8, 600))

    document = told.document()

    assert document["control"] == "a"
    assert document["share_p_value"] > 0.01
    (comparison,) = document["verdict"]["comparisons"]
    assert abs(comparison["difference"]) < 0.01  # means over all of it differ by 0.16


@pytest.mark.parametrize(("quiet_s", "is_told"), [(0.0, True), (59.0, True), (61.0, False), (inf, False)])
def test_how_long_it_takes_is_told_while_outcomes_come(told: Told, quiet_s: float, is_told: bool) -> None:
    told.tell("a", clicks(0.20))
    told.tell("b", clicks(0.22))

    sentence = told.document(quiet_s=quiet_s)["sentence"]

    assert sentence.startswith("Keep going: about ")
    assert sentence.endswith(" at this rate.") is is_told


def test_outcomes_that_come_rarely_are_no_end_of_them(told: Told) -> None:
    told.tell("a", [2.5, 7.0], "amount")
    told.tell("b", [1.5, 4.0], "amount")  # four in a hundred seconds

    assert told.document(quiet_s=240.0)["sentence"].endswith(" at this rate.")
    assert not told.document(quiet_s=260.0)["sentence"].endswith(" at this rate.")


def test_without_calls_outcomes_or_a_second_variant_that_is_said(told: Told) -> None:
    assert told.document()["sentence"].startswith("No call was recorded yet")
    told.store.take_predictions([Predicted(Arm("iris", 1, _EVEN, "a"), "x", "anna", 900.0, None)])
    assert told.document()["sentence"] == "No outcome was reported yet."
    alone = describe_experiment(endpoint((("a", 1.0),)), None, {}, [], NOW_S, Wish())
    assert alone["sentence"].startswith("There is one variant")
    other = describe_experiment(endpoint(generation=2), told.store.run("iris"), {}, [], NOW_S, Wish())
    assert other["since"] is None  # those calls were answered by other models
    nothing = Endpoint("iris", EndpointStatus.DELETING)
    assert describe_experiment(nothing, None, {}, [], NOW_S, Wish())["variants"] == []


def test_outcomes_that_came_before_any_prediction_are_told_as_waiting(told: Told) -> None:
    told.store.take_reports([("iris", [Reported(str(at), "click", 1.0, None) for at in range(3)])], 901.0)

    document = told.document()

    assert (document["tallies"]["waiting"], document["tallies"]["counted"]) == (3, 0)
    assert document["since"] is None


def test_tallies_of_an_endpoint_are_told_with_other_models_too(told: Told) -> None:
    told.tell("a", clicks(0.2))
    run, tallies = told.store.run("iris"), told.store.tallies("iris")

    other = describe_experiment(
        endpoint(generation=2), run, {}, [], NOW_S, Wish(), lately=None, tallies=tallies
    )

    assert (other["tallies"]["counted"], other["outcomes"]) == (600, {})


def test_an_outcome_that_nobody_has_reported_is_said_to_be_none_with_those_that_there_are(told: Told) -> None:
    told.tell("a", clicks(0.2))
    assert told.document(Wish(outcome="clik"))["sentence"] == (
        "No outcome named 'clik' was reported and counted yet: there is click."
    )
    told.tell("b", [1.0], "amount")

    document = told.document(Wish(outcome="clik"))

    assert document["sentence"] == (
        "No outcome named 'clik' was reported and counted yet: there are amount and click."
    )
    assert (document["verdict"], document["better"], document["outcome"]) == (None, None, "clik")
    assert document["outcomes"] == {"amount": 1, "click": 600}
    assert told.document(Wish(outcome="amount"))["sentence"].startswith("Keep going")


def test_an_outcome_is_none_where_nothing_at_all_was_reported(told: Told) -> None:
    told.store.take_predictions([Predicted(Arm("iris", 1, _EVEN, "a"), "x", "anna", 900.0, None)])

    assert told.document(Wish(outcome="clik"))["sentence"] == (
        "No outcome named 'clik' was reported and counted yet."
    )


def test_of_many_outcomes_the_first_are_named(told: Told) -> None:
    for number in range(12):
        told.tell("a", [1.0], f"x{number:02}")

    assert told.document(Wish(outcome="clik"))["sentence"].endswith(
        "there are x00, x01, x02, x03, x04, x05, x06, x07, x08, x09 and 2 more."
    )


def test_a_control_that_there_is_not_is_refused_with_the_variants_that_there_are(told: Told) -> None:
    told.tell("a", clicks(0.2))

    with pytest.raises(ValidationFault, match=r"^iris has no variant 'c': it has a and b\.$"):
        told.document(Wish(control="c"))
    with pytest.raises(ValidationFault, match="it has none"):
        describe_experiment(Endpoint("iris", EndpointStatus.DELETING), None, {}, [], NOW_S, Wish(control="a"))
