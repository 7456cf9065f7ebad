import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from service.load.plan import TARGET_VARIANT, Plan, RateStage, RequestBody, ServerAddress
from service.load.processes import LoadResult
from service.load.report import Occasion, make_report
from service.load.tally import MOST_INTERVALS, Tally, interval_for

_BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_plan(variant: str = "") -> Plan:
    place = ServerAddress("127.0.0.1", 8080, False, "127.0.0.1:8080")
    body = RequestBody(b"1", "text/csv")
    return Plan(place, "/x", {TARGET_VARIANT: variant}, (body,), 100.0, 16, 2.0, 0.5)


def make_tally(answers: Mapping[str, int]) -> Tally:
    tally = Tally(0.5)
    for variant, count in answers.items():
        for number in range(count):
            tally.answer(variant, 2.0 * number / count, 0.001 * (1 + number % 100))
            tally.service.add(0.001)
    return tally


def report_of(
    tally: Tally, weights: Mapping[str, float] | None, plan: Plan | None = None, cpu: float = 0.2
) -> dict[str, Any]:
    occasion = Occasion("iris", "http://127.0.0.1:8080", _BEGAN, weights)
    return make_report(occasion, plan or make_plan(), LoadResult(tally, 2.0, (cpu,)))


def test_a_report_has_every_figure_and_is_json() -> None:
    tally = make_tally({"a": 180, "b": 20})
    tally.fail("", 1.2, "503", "busy")
    report = json.loads(json.dumps(report_of(tally, {"a": 9, "b": 1})))

    assert report.keys() == {
        "version", "endpoint", "url", "began", "duration_s", "interrupted", "note", "plan", "total",
        "variants", "stages", "service", "tester",
    }  # fmt: skip
    figures = {"requests", "answers", "failed", "errors", "answers_per_second", "latency", "timeline"}
    assert report["total"].keys() == figures | {"unfinished"}
    for variant in report["variants"]:
        assert variant.keys() == figures | {"name", "weight", "share", "expected"}
        assert variant["latency"].keys() == {
            "mean_s", "p50_s", "p90_s", "p99_s", "p999_s", "max_s", "histogram",
        }  # fmt: skip
        assert sum(count for _, _, count in variant["latency"]["histogram"]) == variant["answers"]
        assert sum(row["answers"] for row in variant["timeline"]) == variant["answers"]
        assert [row["at_s"] for row in variant["timeline"]] == [0.0, 0.5, 1.0, 1.5]
    assert [variant["name"] for variant in report["variants"]] == ["a", "b", ""]
    assert report["total"]["requests"] == 201
    assert report["total"]["errors"] == [{"code": "503", "count": 1, "example": "busy"}]
    assert [row["failed"] for row in report["total"]["timeline"]] == [0, 0, 1, 0]
    assert report["total"]["answers_per_second"] == 100.0
    assert report["began"] == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(
    ("answers", "inside"), [({"a": 900, "b": 100}, True), ({"a": 870, "b": 130}, False), ({"b": 1000}, False)]
)
def test_shares_are_held_against_the_weights(answers: dict[str, int], inside: bool) -> None:
    a, b = report_of(make_tally(answers), {"a": 9.0, "b": 1.0})["variants"]

    assert a["expected"]["share"] == 0.9
    assert a["expected"]["lower"] < 0.9 < a["expected"]["upper"]
    assert a["expected"]["inside"] == b["expected"]["inside"] == inside
    assert a["share"] == answers.get("a", 0) / 1000


def test_failures_stand_with_their_variant_and_everything_adds_up() -> None:
    tally = make_tally({"a": 60, "b": 20})
    for number in range(20):
        tally.fail("b", 0.1 * number, "424 ModelError", "one of two")
    for _ in range(5):
        tally.fail("", 1.0, "NoConnection", "refused")

    report = report_of(tally, {"a": 3.0, "b": 2.0})

    rows = {variant["name"]: variant for variant in report["variants"]}
    assert {name: (row["requests"], row["failed"]) for name, row in rows.items()} == {
        "a": (60, 0),
        "b": (40, 20),
        "": (5, 5),
    }
    for figure in ("requests", "answers", "failed"):
        assert sum(row[figure] for row in rows.values()) == report["total"][figure]
    assert [row["share"] for row in rows.values()] == [60 / 105, 40 / 105, 5 / 105]
    assert rows["a"]["expected"]["inside"] is rows["b"]["expected"]["inside"] is True
    assert rows["a"]["expected"]["lower"] < rows["a"]["share"] < rows["a"]["expected"]["upper"]
    assert rows[""]["expected"] is None


def test_a_variant_that_fails_always_has_its_share() -> None:
    tally = make_tally({"a": 50})
    for _ in range(50):
        tally.fail("b", 1.0, "424 ModelError", "always")

    a, b = report_of(tally, {"a": 1.0, "b": 1.0})["variants"]

    assert (a["share"], b["share"]) == (0.5, 0.5)
    assert a["expected"]["inside"] is b["expected"]["inside"] is True


def test_joined_intervals_hold_the_same_counts() -> None:
    tally = Tally(0.25)
    for number in range(100):
        tally.answer("a", number, 0.001)
    tally.fail("a", 99.0, "503", "busy")

    tally.coarsen(100.0)

    assert 100.0 / tally.interval_s <= MOST_INTERVALS
    assert tally.interval_s == 1.75
    assert sum(part.total for part in tally.series["a"].answers.values()) == 100
    assert tally.series["a"].failed == {int(99.0 / 1.75): 1}


def test_a_variant_of_weight_zero_or_of_no_weight_may_have_no_share() -> None:
    a, zero, unknown = report_of(make_tally({"a": 99, "x": 1}), {"a": 1.0, "zero": 0.0})["variants"]

    assert (zero["requests"], zero["expected"]["inside"]) == (0, True)
    assert (unknown["name"], unknown["weight"], unknown["expected"]["inside"]) == ("x", None, False)
    assert a["expected"]["inside"] is False


def test_shares_are_not_judged_when_a_variant_was_named_or_weights_are_unknown() -> None:
    (named,) = report_of(make_tally({"a": 10}), {"a": 1.0, "b": 1.0}, make_plan("a"))["variants"]
    (unknown,) = report_of(make_tally({"a": 10}), None)["variants"]

    assert named["expected"] is unknown["expected"] is None


def test_nothing_answered_is_a_report_too() -> None:
    report = report_of(Tally(0.5), {"a": 1.0})

    assert report["total"]["requests"] == 0
    assert report["variants"][0]["expected"] is None


def test_a_tester_that_was_the_limit_says_so() -> None:
    late = make_tally({"a": 10})
    for _ in range(100):
        late.waits.add(0.05)

    assert report_of(make_tally({"a": 10}), None)["tester"]["was_the_limit"] is False
    assert "95% of a CPU" in report_of(make_tally({"a": 10}), None, cpu=0.95)["tester"]["limits"][0]
    assert "50 ms late" in report_of(late, None)["tester"]["limits"][0]


@pytest.mark.parametrize("duration_s", [0.1, 1.0, 20.0, 86_400.0, 1e7])
def test_timelines_are_never_longer_than_they_may(duration_s: float) -> None:
    assert duration_s / interval_for(duration_s) <= MOST_INTERVALS * (1 + 1e-9)


def test_a_tally_is_the_same_after_its_way_from_another_process() -> None:
    from service.load import tally as tallies

    tally = Tally(0.5, stage_ends_s=(1.0, 2.0))
    tally.merge(make_tally({"a": 5, "b": 3}))
    for at_s in (0.5, 1.0, 1.5):
        tally.answer("a", at_s, 0.001)
    tally.fail("", 0.1, "503", "busy")
    tally.waits.add(0.1)
    tally.most_backlog, tally.unfinished = 4, 2
    tally.keep("a", 3, b"\xff[1]")

    back = tallies.load(json.loads(json.dumps(tally.dump())))

    assert replace(back, stage_ends_s=(1.0, 2.0)) == tally
    assert {number: series.latencies().total for number, series in back.stages.items()} == {0: 1, 1: 2}


def test_stages_are_shown_with_their_figures_as_far_as_they_came() -> None:
    stages = (RateStage(50.0, 1.5), RateStage(100.0, 1.5), RateStage(200.0, 1.0))
    tally = Tally(0.5, stage_ends_s=(1.5, 3.0, 4.0))
    for number in range(20):
        tally.answer("a", number / 10, 0.002)
    tally.fail("a", 1.8, "503", "busy")

    rows = report_of(tally, {"a": 1.0}, replace(make_plan(), stages=stages))["stages"]

    assert [(row["rate"], row["at_s"], row["length_s"]) for row in rows] == [
        (50.0, 0.0, 1.5),
        (100.0, 1.5, 0.5),
    ]
    assert [(row["requests"], row["failed"], row["answers_per_second"]) for row in rows] == [
        (15, 0, 10.0),
        (6, 1, 10.0),
    ]
    assert "timeline" not in rows[0]
