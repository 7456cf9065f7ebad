"""The card of an experiment: what it draws of a document, and what it says before a variant is promoted."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.domain.caller import Caller
from service.experiments.class_quality import ClassQuality
from service.experiments.live_agreement import LiveTally
from service.experiments.number_quality import NumberQuality
from service.faces.people.dashboard.experiment import HEIGHT, WIDTH, course_of, drawn
from service.faces.people.dashboard.promotion import preview
from service.faces.people.dashboard.render import Renderer
from service.faces.people.dashboard.verdicts import Document, Verdicts
from service.http.reply import Reply
from service.invoke.catalogue import EndpointCard, VariantCard


def mark(second: int, lower: float | None, difference: float | None, upper: float | None) -> dict[str, Any]:
    comparison = {"challenger": "b", "difference": difference, "lower": lower, "upper": upper}
    return {"at": f"2026-01-02T12:00:{second:02}+00:00", "outcomes": second, "comparisons": [comparison]}


def document(**more: Any) -> dict[str, Any]:
    own = {"count": 100, "mean": 0.25, "lower": 0.2, "upper": 0.3}
    comparison = {
        "challenger": "b",
        "difference": 0.1,
        "lower": 0.05,
        "upper": 0.15,
        "decision": "better",
        "sentence": "b is better than a by 5 to 15 points.",
    }
    return {
        "endpoint": "iris",
        "control": "a",
        "outcome": "click",
        "outcomes": {"click": 200},
        "variants": [
            {"name": name, "users": 90, "calls": 1, "outcome": own, "quality": None} for name in "ab"
        ],
        "verdict": {"binary": True, "comparisons": [comparison]},
        "sentence": comparison["sentence"],
        "warnings": [],
        "better": "b",
        "ramp": None,
        "allocation": None,
        "agreement": None,
        "changes": [],
        "timeline": [],
        "tallies": dict.fromkeys(("waiting", "unknown", "contradicting", "refused", "dropped"), 0),
    } | more


def html(**more: Any) -> str:
    return page_of(document(**more))


def page_of(found: Mapping[str, Any]) -> str:
    return Renderer().experiment(found)


def card(a: float = 9, b: float = 1) -> EndpointCard:
    variants = tuple(VariantCard(name, w, w / (a + b), f"m-{name}") for name, w in (("a", a), ("b", b)))
    return EndpointCard("iris", "InService", "", False, variants, (), None)


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in text.split())]


def test_the_interval_over_time_lies_in_its_frame_with_no_difference_in_the_middle() -> None:
    course = course_of(
        [mark(0, -0.9, 0.0, 0.9), mark(30, -0.1, 0.1, 0.3), mark(40, 0.0, 0.1, 0.2)], "ab", binary=True
    )

    assert course is not None
    (band,) = course.bands
    assert (band.name, band.place, course.began, course.ended) == ("b", 1, "12:00:00", "12:00:40")
    line = points(band.line)
    assert [x for x, _ in line] == [0, 0.75 * WIDTH, WIDTH]
    assert line[0][1] == HEIGHT / 2
    *_, low = points(band.area)[:-1]
    assert low[1] > HEIGHT / 2  # less than none is below the middle
    assert course.reach == pytest.approx(1.15 * 0.3)


@pytest.mark.parametrize(
    "marks", [[], [mark(1, -0.1, 0.0, 0.1)], [mark(1, None, None, None), mark(2, -0.1, 0.0, 0.1)]]
)
def test_nothing_is_drawn_of_what_is_no_course_yet(marks: Sequence[Mapping[str, Any]]) -> None:
    assert course_of(marks, "ab", binary=True) is None


def test_the_edge_of_differences_of_shares_is_a_hundred_points_at_most() -> None:
    marks = [mark(0, -0.9, 0.0, 0.9), mark(30, -0.1, 0.4, 0.95), mark(40, 0.0, 0.5, 1.04)]
    verdict = document()["verdict"]

    assert "the upper edge +100.0 points<" in html(timeline=marks)
    assert "the upper edge +1.196<" in html(timeline=marks, verdict={**verdict, "binary": False})


def test_the_card_says_the_sentence_and_each_variants_figures() -> None:
    page = html(timeline=[mark(0, -0.1, 0.0, 0.1), mark(9, 0.1, 0.2, 0.3)])

    assert '<p class="verdict good">b is better than a by 5 to 15 points.</p>' in page
    assert page.count('<td class="n">25.0 %</td><td class="n">20.0 % to 30.0 %</td>') == 2
    assert "+10.0 points" in page
    assert "<polygon" in page
    assert 'data-better="b"' in page


def test_outcomes_beside_the_judged_one_are_named_with_how_to_ask_for_them() -> None:
    page = html(outcomes={"click": 200, "refund": 3, "amount": 40})

    assert "Also reported: amount (40), refund (3): sagebird experiment iris --outcome amount</p>" in page
    assert "Also reported" not in html()


def test_outcomes_that_are_amounts_are_no_shares() -> None:
    comparison = {"challenger": "b", "difference": 12.5, "lower": None, "upper": None, "decision": "open"}
    page = html(verdict={"binary": False, "comparisons": [comparison]}, better=None)

    assert "+12.5 <span" in page
    assert "points" not in page.replace("5 to 15 points", "")
    assert 'data-better=""' in page


def test_what_nobody_can_say_yet_is_said_in_a_sentence_alone() -> None:
    none = [{"name": name, "users": 0, "calls": 0, "outcome": None, "quality": None} for name in "ab"]
    page = html(
        outcome=None, verdict=None, better=None, variants=none, sentence="No outcome was reported yet."
    )

    assert "No outcome was reported yet." in page
    assert "<table" not in page


def test_cells_of_two_classes_have_their_names() -> None:
    quality = ClassQuality(("no", "yes"))
    for label, said, times in (("yes", "yes", 4), ("no", "yes", 3), ("yes", "no", 2), ("no", "no", 1)):
        for _ in range(times):
            quality.add(label, said, None)
    found = document()
    found["variants"][1]["quality"] = quality.document()
    (matrix,) = drawn(found)["matrices"]

    assert matrix.rows == (
        ("no", ((1, "true negatives"), (3, "false positives"))),
        ("yes", ((2, "false negatives"), (4, "true positives"))),
    )
    assert dict(matrix.figures)["recall"] == pytest.approx(4 / 6)
    assert '<td class="n wrong">3 <small>false positives</small></td>' in page_of(found)


def test_numbers_have_errors_and_no_matrix() -> None:
    quality = NumberQuality()
    quality.add(1.0, 2.0)
    quality.add(4.0, 2.0)
    found = document()
    found["variants"][0]["quality"] = quality.document()
    (matrix,) = drawn(found)["matrices"]

    assert matrix.classes == ()
    assert dict(matrix.figures)["mean absolute error"] == 1.5
    assert "RMSE" in page_of(found)


def test_warnings_ramps_and_changes_are_told_and_nothing_of_them_is_markup() -> None:
    ramp = {
        "variant": "b",
        "steps": [5, 100],
        "step": 0,
        "state": "stopped",
        "why": "<b>late</b>",
        "next_at": "2026",
        "holds": False,
    }
    change = {
        "at": "2026-01-02T12:00:00+00:00",
        "weights": {"a": 1, "b": 3},
        "reason": "<i>",
        "by": "alice",
    }
    page = html(ramp=ramp, changes=[change], warnings=["<u>Beware.</u>"])

    for text in ("at 5 %: &lt;b&gt;late", "a 25 %, b 75 %", "&lt;i&gt;", "alice", "&lt;u&gt;Beware."):
        assert text in page
    assert "2026-01-02 12:00:00" in page
    held = html(ramp={**ramp, "steps": [50, 100], "state": "running", "holds": True})
    assert "b goes up in steps: it stays at 50 %, the next step" in held


def test_live_rows_on_which_variants_differ_are_told_and_nothing_of_them_is_markup() -> None:
    tally = LiveTally(unclear=2)
    tally.meet([("<i>no</i>", "yes"), ("yes", "yes")], 0.0, "<b>id</b>")
    agreement = {"ask_both": 5.0, "dropped": 7, "pairs": [tally.document(("a", "b"), "a")]}
    page = html(agreement=agreement)

    assert "asked of two <small>5 % of calls</small>" in page
    assert "<b>b</b> and <b>a</b> differ on 1 of 2 rows: 50 %" in page
    assert "<td>&lt;b&gt;id&lt;/b&gt;</td>" in page
    assert "<td>&lt;i&gt;no&lt;/i&gt;</td><td>yes</td>" in page
    assert "2 pairs of answers are unclear." in page
    assert "7 calls were not asked of two" in page
    assert "asked of two" not in html()


def test_columns_without_a_number_are_not_drawn() -> None:
    nobody = [{"name": name, "users": 0, "calls": 3, "outcome": None, "quality": None} for name in "ab"]
    page = html(variants=nobody)

    assert "Calls without a user</th>" in page
    assert "Users</th>" not in page


def test_a_policy_that_decides_on_weights_is_told_and_ended_by_a_promotion() -> None:
    policy = {
        "policy": "thompson",
        "state": "running",
        "changes": 3,
        "floor": 1.0,
        "next_at": "2026-01-02T12:00:00+00:00",
        "why": "",
    }
    page = html(allocation=policy)

    assert "follows outcomes by thompson: 3 changes so far, every variant keeps 1 %" in page
    assert 'data-plan="running"' in page
    said = preview(card(), document(allocation=policy), "b", "")
    assert "This ends the ramp or policy" in Renderer().fragment("promotion.html", said)
    stopped = html(allocation={**policy, "state": "stopped", "why": "b was <promoted>."})
    assert "no longer follows outcomes by thompson: b was &lt;promoted&gt;." in stopped
    assert 'data-plan=""' in stopped


def test_a_preview_says_what_the_request_does() -> None:
    said = preview(card(), document(), "b", "")

    assert json.loads(said["request"]) == {"variant": "b"}
    assert said["moves"] == [
        {"name": "a", "before": 0.9, "after": 0.0},
        {"name": "b", "before": 0.1, "after": 1.0},
    ]
    page = Renderer().fragment("promotion.html", said)
    assert "<b>b</b> from 10 % to <b>100 %</b>" in page
    assert '<span class="good">b is better' in page


def words_of(said: Mapping[str, Any]) -> str:
    """What people read of a preview."""
    return re.sub("<[^>]*>", "", Renderer().fragment("promotion.html", said))


def test_a_ramp_gives_its_first_step_at_once_where_that_is_more_than_there_is_now() -> None:
    said = preview(card(97, 3), None, "b", "600")

    assert json.loads(said["request"]) == {"variant": "b", "ramp": [5.0, 25.0, 50.0, 100.0], "pause_s": 600}
    assert said["moves"][1] == {"name": "b", "before": 0.03, "after": 0.05}
    page = words_of(said)
    assert "b from 3 % to 5 % now; then b gets 25 %, 50 %, 100 %, each 10 minutes after the one" in page
    assert "Nothing says for sure that b is better" in page


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (7, 3, "b stays at 30 % for 1 hour first; then b gets 50 %, 100 %, each 1 hour after"),
        (1, 1, "b stays at 50 % for 1 hour first; then b gets 100 %. It goes back"),
        (1, 3, "b stays at 75 % for 1 hour first; then b gets 100 %. It goes back"),
    ],
)
def test_a_ramp_stays_first_at_what_the_variant_has_and_says_so(a: float, b: float, words: str) -> None:
    said = preview(card(a, b), None, "b", "3600")

    assert json.loads(said["request"]) == {"variant": "b", "ramp": [5.0, 25.0, 50.0, 100.0], "pause_s": 3600}
    assert said["moves"] == []
    assert words in words_of(said)
    assert words not in words_of(preview(card(a, b), None, "b", ""))


def test_who_would_promote_the_worse_one_is_told_so() -> None:
    page = Renderer().fragment("promotion.html", preview(card(), document(), "a", ""))

    assert "Another variant is better by its outcomes: b is better" in page
    assert "Nothing says for sure" not in page


@pytest.mark.parametrize("pause_s", ["", "60"])
def test_who_has_all_traffic_gets_no_more(pause_s: str) -> None:
    said = preview(card(0, 1), document(), "b", pause_s)

    assert said["request"] == ""
    assert "Nothing would change" in Renderer().fragment("promotion.html", said)


@pytest.mark.parametrize(
    ("seen", "variant", "pause_s"), [(None, "b", ""), (card(), "c", ""), (card(), "b", "7")]
)
def test_what_is_no_longer_there_is_said(seen: EndpointCard | None, variant: str, pause_s: str) -> None:
    said = preview(seen, None, variant, pause_s)

    assert not said["request"]
    assert 'class="bad"' in Renderer().fragment("promotion.html", said)


class Played:
    """Answers for experiments, as long as it is there."""

    def __init__(self) -> None:
        self.status = 200

    async def experiment(self, endpoint: str, asked: Mapping[str, str]) -> Reply:
        return Reply(self.status, [], json.dumps({"endpoint": endpoint, **asked}).encode())

    async def report(self, endpoint: str, content_type: str, body: bytes, reporter: str = "") -> Reply:
        raise AssertionError

    async def ask_both(self, caller: Caller, endpoint: str, body: bytes) -> Reply:
        raise AssertionError

    async def promote(self, caller: Caller, endpoint: str, body: bytes) -> Reply:
        raise AssertionError


Look = Callable[[Sequence[str]], Awaitable[Mapping[str, Document]]]


def looked(act: Callable[[Played, Look], Awaitable[None]]) -> None:
    """Let somebody look from a thread."""

    async def run() -> None:
        played = Played()
        verdicts = Verdicts(played)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as threads:
            await act(played, lambda names: loop.run_in_executor(threads, verdicts.look, names))

    asyncio.run(run())


def test_the_last_documents_are_shown_while_nobody_answers_and_none_of_what_is_gone() -> None:
    async def act(played: Played, look: Look) -> None:
        assert await look(["a", "b"]) == {"a": {"endpoint": "a"}, "b": {"endpoint": "b"}}
        assert await look(["a"]) == {"a": {"endpoint": "a"}}
        played.status = 503
        assert (await look(["b", "c"])).keys() == {"b"}
        played.status = 404
        assert await look(["b"]) == {}

    looked(act)
