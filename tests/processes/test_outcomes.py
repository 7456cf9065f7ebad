"""Predictions and outcomes on their way from gateways to the process that keeps them."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.clock import ManualClock
from service.control.resources import OperationContext
from service.control.traffic_plans import TrafficPlans, plans_of
from service.domain.caller import Caller
from service.domain.endpoint import Endpoint, EndpointStatus, Fleet, ModelSource, Variant
from service.domain.endpoint_state import endpoint_to_state
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.traffic import Traffic
from service.experiments.live_agreement import LiveAgreement
from service.hosting.host import Call
from service.http.reply import Asked
from service.invoke.directory import Directory, Route, Target
from service.invoke.invocation import Invocation
from service.invoke.recording import Recorder
from service.observe.counter import InvocationCounter
from service.observe.counts import Registry
from service.observe.series import VariantSeries
from service.processes.desk import Desk
from service.processes.outcome_clerk import AGREEMENTS, OutcomeClerk
from service.processes.outcome_post import OutcomePost
from service.store.outcomes import OutcomeStore
from service.store.store import Store
from tests.conftest import wait_until

CALLER = Caller("000000000000", "us-east-1")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
VARIANTS = tuple(Variant(name, 1.0, ModelSource(f"file:///m/{name}")) for name in "ab")
TARGETS = {v.name: Target(v, None, InvocationCounter()) for v in VARIANTS}  # type: ignore[arg-type]  # it is never asked
ROUTE = Route(
    "iris",
    {(1, name): target for name, target in TARGETS.items()},
    TARGETS,
    Traffic([((1, name), 1.0) for name in TARGETS]),
    multi=False,
)
ASKED = Invocation(CALLER, "iris", Call(b"1", None, None), user=b"anna")


class House:
    """A keeper's desk with its clerk, in threads of this process, and a gateway's post."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "state.db")
        self.metrics = folder / "metrics"
        self.serve(generation=1)
        self.desk = Desk()
        self.folder = folder
        self.clerk = self._new_clerk()
        self.recorder = Recorder(lambda: Directory(1, {}, {"iris": ROUTE}), lambda: 100.0, "all")
        self.post = OutcomePost(self.desk, self.recorder, CALLER)

    def _new_clerk(self) -> OutcomeClerk:
        return OutcomeClerk(
            lambda: OutcomeStore(self.folder / "outcomes.db", 3600.0, 100_000),
            self.store,
            OperationContext(CALLER, ManualClock(NOON)),
            VariantSeries(self.folder / "series.db", self.folder / "metrics"),
        )

    def take_over(self) -> None:
        """Have another clerk go on, as after a restart of the keeper."""
        self.clerk.close()
        self.clerk = self._new_clerk()

    def serve(self, generation: int) -> None:
        """Have the endpoint serve a fleet."""
        fleet = Fleet("config", generation, VARIANTS)
        endpoint = Endpoint("iris", EndpointStatus.IN_SERVICE, fleet, generation=generation)
        state = endpoint_to_state(endpoint)
        with self.store.change() as change:
            change.put(Resource(Kind.ENDPOINT, "iris", {}, NOON, NOON, endpoint.status, state=state))

    def record(self, *ids: str) -> None:
        for each in ids:
            self.recorder.note(ROUTE, ASKED, "a", each, b"[0]")

    def close(self) -> None:
        self.desk.close()
        self.desk.dispose()
        self.clerk.close()
        self.store.close()


@pytest.fixture
def house(memory_path: Path) -> Iterator[House]:
    made = House(memory_path)
    made.desk.open(lambda caller, asked: made.clerk.answer(caller, asked))  # whoever is the clerk then
    yield made
    made.close()


def run(act: Callable[[], Awaitable[Any]]) -> Any:
    async def acted() -> Any:
        return await act()

    return asyncio.run(acted())


def report(house: House, *bodies: bytes, endpoint: str = "iris") -> list[tuple[int, Any]]:
    """The answers to reports that come at once."""

    async def act() -> Any:
        return await asyncio.gather(
            *(house.post.report(endpoint, "application/json", body) for body in bodies)
        )

    return [(reply.status, json.loads(reply.body)) for reply in run(act)]


def click(inference_id: str) -> bytes:
    return json.dumps({"inference_id": inference_id, "click": 1}).encode()


def test_whoever_takes_over_names_no_time_before_outcomes_come_again(house: House) -> None:
    asked = Invocation(CALLER, "iris", Call(b"1", None, None), inference_id="x")
    for number in range(41):
        house.recorder.note(ROUTE, asked, "ab"[number % 2], str(number), b"[0]")
    run(house.post.flush)
    clicks = [json.dumps({"inference_id": str(n), "click": n // 2 % 2}).encode() for n in range(41)]
    report(house, *clicks[:40])

    def sentence() -> str:
        return str(json.loads(run(lambda: house.post.experiment("iris", {})).body)["sentence"])

    before = sentence()
    house.take_over()
    after = sentence()
    report(house, clicks[0])  # known before: nothing has come
    repeated = sentence()
    report(house, clicks[40])

    assert [each.startswith("Keep going: about ") for each in (before, after, repeated)] == [True] * 3
    assert [each.endswith(" at this rate.") for each in (before, after, repeated)] == [True, False, False]
    wait_until(lambda: sentence().endswith(" at this rate."), 60)


def test_reports_that_come_together_are_answered_each_by_its_own_receipt(house: House) -> None:
    house.record("1", "2")
    run(house.post.flush)

    answers = report(house, click("1"), b"junk", click("2"), click("9"))

    assert [status for status, _ in answers] == [200, 400, 200, 200]
    assert [answers[at][1]["counted"] for at in (0, 2, 3)] == [1, 1, 0]
    assert "neither JSON nor JSON lines" in answers[1][1]["message"]
    assert report(house, click("1"))[0][1]["repeated"] == 1


def test_a_table_in_which_nothing_is_known_yet_is_taken_and_counts_nothing(house: House) -> None:
    house.record("1")
    run(house.post.flush)

    reply = run(lambda: house.post.report("iris", "text/csv", b"inference_id,click\n1,\n2,\n"))

    assert (reply.status, set(json.loads(reply.body).values())) == (200, {0})


def poison(folder: Path, table: str) -> None:
    """Have the database refuse one row, as it would by a fault of ours that nobody knows of yet."""
    with closing(sqlite3.connect(folder / "outcomes.db")) as connection:
        connection.execute(
            f"CREATE TRIGGER poison BEFORE INSERT ON {table} WHEN NEW.inference_id = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )


def test_a_report_that_nobody_can_keep_fails_alone(house: House, memory_path: Path) -> None:
    house.record("1", "2", "bad")
    run(house.post.flush)
    poison(memory_path, "outcomes")

    answers = report(house, click("1"), click("bad"), click("2"))

    assert [status for status, _ in answers] == [200, 503, 200]
    assert [answers[at][1]["counted"] for at in (0, 2)] == [1, 1]
    assert "could not finish" in answers[1][1]["message"]


def test_a_prediction_that_nobody_can_keep_is_dropped_alone(house: House, memory_path: Path) -> None:
    report(house, click("0"))  # the file is there now
    poison(memory_path, "predictions")
    house.record("1", "bad", "2", "3")

    run(house.post.flush)

    assert [document["counted"] for _, document in report(house, *map(click, "123"))] == [1, 1, 1]
    document = json.loads(run(lambda: house.post.experiment("iris", {})).body)
    assert document["tallies"]["dropped"] == 1


def test_a_half_of_a_character_is_refused_to_its_sender_alone(house: House) -> None:
    bad = (b'{"inference_id": "\\ud800", "click": 1}', b'{"inference_id": "1", "label": "\\ud800"}')

    answers = report(house, click("1"), *bad, click("2"))

    assert [status for status, _ in answers] == [200, 400, 400, 200]


def test_names_without_end_are_refused_and_counted(house: House) -> None:
    house.record(*map(str, range(12)))
    run(house.post.flush)
    names = [{"inference_id": str(each // 5), f"x{each}": 1} for each in range(51)]

    ((status, document), (fine, _)) = report(house, json.dumps(names).encode(), click("1"))

    assert (status, fine) == (400, 200)
    assert document["message"].startswith("An experiment has 50 names of outcomes at most")
    tallies = json.loads(run(lambda: house.post.experiment("iris", {})).body)["tallies"]
    assert (tallies["refused"], tallies["counted"]) == (51, 1)


def test_what_is_reported_of_no_endpoint_is_refused(house: House) -> None:
    ((status, document),) = report(house, click("1"), endpoint="nobody")

    assert (status, document["message"]) == (404, "There is no endpoint nobody.")


def test_the_document_tells_of_what_was_handed_in(house: House) -> None:
    house.record(*"123")
    run(house.post.flush)
    report(house, click("1"))

    reply = run(lambda: house.post.experiment("iris", {"outcome": "click", "worth": "0.1"}))
    document = json.loads(reply.body)

    assert reply.status == 200
    assert [each["users"] for each in document["variants"]] == [1, 0]
    assert document["outcomes"] == {"click": 1}
    assert document["ramp"] is None
    assert house.clerk.objections("iris", "b") == []
    again = run(lambda: house.post.experiment("iris", {"outcome": "click", "worth": "0.1"}))
    assert again.body == reply.body


def test_what_waits_is_told_before_any_call_was_recorded(house: House) -> None:
    report(house, click("1"), click("2"))

    document = json.loads(run(lambda: house.post.experiment("iris", {})).body)

    assert (document["tallies"]["waiting"], document["since"]) == (2, None)


def test_requests_and_errors_are_those_of_the_models_that_serve(house: House) -> None:
    registry = Registry(house.metrics, "g0")
    for _ in range(2_000):
        registry.invocation("iris", "a", 1).count(0.001)
        registry.invocation("iris", "b", 1).count_error(0.001, "ModelError", 5)
    registry.flush()
    assert any("b fails more often than a" in each for each in house.clerk.objections("iris", "b"))
    assert house.clerk.objections("iris", "a") == []  # what b does is no reason to keep traffic from a

    house.serve(generation=2)  # b is mended
    registry.invocation("iris", "b", 2).count(0.001)
    registry.flush()

    wait_until(lambda: house.clerk.objections("iris", "b") == [], 60)
    document = json.loads(run(lambda: house.post.experiment("iris", {})).body)
    assert [(each["requests"], each["server_errors"]) for each in document["variants"]] == [(0, 0), (1, 0)]


def test_what_variants_say_of_the_same_rows_is_told(house: House) -> None:
    asked = run(lambda: house.post.ask_both(CALLER, "iris", b'{"ask_both": 25}'))
    agreement = LiveAgreement(1, dropped=3)
    agreement.tally(("a", "b")).meet([("0", "1"), ("1", "1")], 0.0, "id-1")
    told = json.dumps({"iris": agreement.told()}).encode()
    handed = run(lambda: house.desk.hand_in(CALLER, Asked([(AGREEMENTS, b"")], told, "")))

    found = json.loads(run(lambda: house.post.experiment("iris", {})).body)["agreement"]

    assert (asked.status, handed.status) == (200, 200)
    assert (found["ask_both"], found["dropped"]) == (25, 3)
    (pair,) = found["pairs"]
    assert (pair["control"], pair["variant"], pair["rows"], pair["differing"]) == ("a", "b", 2, 1)
    house.serve(generation=2)
    wait_until(lambda: house.clerk.objections("iris", "b") == [], 60)
    wait_until(
        lambda: json.loads(run(lambda: house.post.experiment("iris", {})).body)["agreement"] is None, 60
    )  # of other models


def test_how_it_has_gone_is_marked_now_and_then(house: House) -> None:
    house.record(*"123")
    run(house.post.flush)
    report(house, click("1"))
    asked = {"outcome": "click"}
    assert json.loads(run(lambda: house.post.experiment("iris", asked)).body)["timeline"] == []

    house.clerk.look()

    document = json.loads(run(lambda: house.post.experiment("iris", {})).body)
    (mark,) = document["timeline"]
    assert (mark["outcomes"], [each["challenger"] for each in mark["comparisons"]]) == (1, ["b"])
    other = json.loads(run(lambda: house.post.experiment("iris", {"control": "b"})).body)
    assert other["timeline"] == []  # of another comparison nothing is kept


def test_an_endpoint_that_is_gone_is_not_marked(house: House) -> None:
    house.record("1")
    run(house.post.flush)
    report(house, click("1"))
    with house.store.change() as change:
        change.remove(Kind.ENDPOINT, "iris")

    house.clerk.look()

    assert run(lambda: house.post.experiment("iris", {})).status == 404


@pytest.mark.parametrize(
    ("endpoint", "asked", "status"),
    [
        ("nobody", {}, 404),
        ("iris", {"worth": "much"}, 400),
        ("iris", {"worth": "-1"}, 400),
        ("iris", {"window": "year"}, 400),
        ("iris", {"control": "c"}, 400),
    ],
)
def test_a_document_that_cannot_be_made_is_refused_with_a_sentence(
    house: House, endpoint: str, asked: dict[str, str], status: int
) -> None:
    reply = run(lambda: house.post.experiment(endpoint, asked))

    assert reply.status == status
    assert json.loads(reply.body)["message"].endswith((".", "matters.", "back."))


def test_a_promotion_is_done_on_behalf_of_who_asks(house: House) -> None:
    someone = Caller("000000000000", "us-east-1", "alice")

    reply = run(lambda: house.post.promote(someone, "iris", b'{"variant": "b", "ramp": [60, 100]}'))
    stopped = run(lambda: house.post.promote(someone, "iris", b'{"stop": true}'))
    refused = run(lambda: house.post.promote(someone, "iris", b"[" * 50_000))

    assert (reply.status, json.loads(reply.body)["ramp"]["state"]) == (200, "running")
    assert json.loads(stopped.body)["ramp"]["state"] == "stopped"
    assert refused.status == 400
    document = json.loads(run(lambda: house.post.experiment("iris", {})).body)
    assert [change["by"] for change in document["changes"]] == ["alice"]


def test_a_reason_that_nobody_could_read_again_is_not_kept(house: House) -> None:
    refused = run(lambda: house.post.promote(CALLER, "iris", b'{"variant": "b", "reason": "\\ud800"}'))

    assert (refused.status, "half of a character" in json.loads(refused.body)["message"]) == (400, True)
    assert run(lambda: house.post.experiment("iris", {})).status == 200


def test_traffic_follows_what_was_handed_in(house: House) -> None:
    house.recorder = Recorder(lambda: Directory(1, {}, {"iris": ROUTE}), lambda: 100.0, "all")
    asked = Invocation(CALLER, "iris", Call(b"1", None, None), inference_id="x")
    for number in range(60):
        house.recorder.note(ROUTE, asked, "ab"[number % 2], str(number), b"[0]")
    house.post = OutcomePost(house.desk, house.recorder, CALLER)
    run(house.post.flush)
    report(house, *(json.dumps({"inference_id": str(n), "click": n % 2}).encode() for n in range(60)))
    plans = TrafficPlans(house.store, OperationContext(CALLER, ManualClock(NOON)), house.clerk)

    begun = run(lambda: house.post.promote(CALLER, "iris", b'{"policy": "thompson", "floor": 5}'))
    plans.look()

    assert (begun.status, json.loads(begun.body)["allocation"]["policy"]) == (200, "thompson")
    document = json.loads(run(lambda: house.post.experiment("iris", {"window": "day"})).body)
    assert document["allocation"]["weights"] == {"a": 5.0, "b": 95.0}
    assert [change["reason"][:18] for change in document["changes"]] == ["thompson by click:"]
    assert document["window"]["labels"] == 0


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        ({"policy": "thompson", "outcome": "clik"}, "No outcome named 'clik' was reported and counted yet"),
        ({"policy": "thompson", "outcome": "click"}, ""),
        ({"policy": "thompson"}, ""),
        ({"variant": "b"}, ""),
        ({"stop": True}, ""),
    ],
)
def test_a_policy_that_follows_what_nobody_has_reported_begins_and_that_is_said(
    house: House, asked: dict[str, Any], note: str
) -> None:
    house.record("1")
    run(house.post.flush)
    report(house, click("1"))

    begun = run(lambda: house.post.promote(CALLER, "iris", json.dumps(asked).encode()))

    assert begun.status == 200
    assert json.loads(begun.body).get("note", "").partition(":")[0] == note


def test_what_was_on_its_way_when_a_gateway_was_told_to_stop_is_handed_in_again(memory_path: Path) -> None:
    house = House(memory_path)
    house.record(*map(str, range(1200)))

    async def stopped() -> None:
        running = asyncio.ensure_future(house.post.flush())
        await asyncio.sleep(0)  # the first part is on its way, and nobody takes it up
        running.cancel()
        await asyncio.wait([running])
        house.desk.open(house.clerk.answer)
        await house.post.flush()

    run(stopped)
    reports = [click(str(number)) for number in (0, 499, 500, 1199)]
    counted = [document["counted"] for _, document in report(house, *reports)]
    house.close()

    assert counted == [1] * 4


@pytest.mark.parametrize(
    ("plan", "body"),
    [("ramp", b'{"variant": "b", "ramp": [60, 100]}'), ("allocation", b'{"policy": "thompson"}')],
)
def test_the_plan_of_an_endpoint_that_is_gone_ends(house: House, plan: str, body: bytes) -> None:
    run(lambda: house.post.promote(CALLER, "iris", body))
    with house.store.change() as change:
        change.remove(Kind.ENDPOINT, "iris")

    TrafficPlans(house.store, OperationContext(CALLER, ManualClock(NOON)), house.clerk).look()

    assert plans_of(house.store, "iris")[plan]["why"] == "The endpoint takes no calls any more."


def test_predictions_wait_for_a_keeper_that_is_away_and_count_once(memory_path: Path) -> None:
    house = House(memory_path)
    house.record("1", "2")

    async def away() -> None:
        task = asyncio.create_task(house.post.flush())
        await asyncio.sleep(0)
        house.desk.open(house.clerk.answer)
        await task

    run(away)
    answers = report(house, click("1"), click("2"))
    house.close()
    house.record("3")
    run(house.post.flush)  # the desk is closed: it stays here

    assert [document["counted"] for _, document in answers] == [1, 1]
    assert report(house, click("1")) == [(503, {"message": "The server is stopping: try again."})]


def test_reports_that_nobody_takes_up_do_not_fill_the_memory(memory_path: Path) -> None:
    house, body = House(memory_path), click("1").ljust(1 << 20)

    async def act() -> list[int]:
        reports = [
            asyncio.ensure_future(house.post.report("iris", "application/json", body, reporter))
            for reporter in [*"a" * 9, *"b" * 9, "c"]
        ]
        await asyncio.wait(reports, return_when=asyncio.FIRST_COMPLETED)
        refused = [task.result().status for task in reports if task.done()]
        house.desk.open(house.clerk.answer)
        return [*refused, *(reply.status for reply in await asyncio.gather(*reports))]

    statuses = run(act)
    after = report(house, body)
    house.close()

    own = [*[200] * 8, 503]  # 8 MiB of one reporter, and 16 of all
    assert statuses == [503, 503, 503, *own, *own, 503]
    assert after[0][0] == 200


def test_who_reports_a_lot_makes_nobody_wait_for_all_of_it(memory_path: Path) -> None:
    house, order = House(memory_path), list[tuple[str, int]]()

    async def act() -> None:
        async def told(reporter: str) -> None:
            reply = await house.post.report("iris", "application/json", body, reporter)
            order.append((reporter, reply.status))

        body = click("1").ljust(600_000)
        reports = [asyncio.create_task(told(reporter)) for reporter in [*"a" * 6, "b"]]
        await asyncio.sleep(0)
        house.desk.open(house.clerk.answer)
        await asyncio.gather(*reports)

    run(act)
    house.close()

    assert order[:2] == [("a", 200), ("b", 200)]
    assert order[2:] == [("a", 200)] * 5


def test_of_a_large_report_some_is_kept_at_a_time(house: House) -> None:
    ids = [str(number) for number in range(1000)]
    house.record(*ids)
    run(house.post.flush)
    large = json.dumps([{"inference_id": each, "click": 1} for each in [*ids, *ids]]).encode()

    answers = report(house, large, click("1"), click("7777"))

    kept = {"counted": 1000, "waiting": 0, "repeated": 1000, "contradicting": 0}
    assert answers[0] == (200, kept)
    assert [answers[at][1]["repeated"] + answers[at][1]["waiting"] for at in (1, 2)] == [1, 1]


def test_a_request_has_so_many_outcomes_and_no_more(house: House) -> None:
    rows = "".join(f"{number},1,1,1,1,1,1,1,1,1,1\n" for number in range(1001))
    body = ("inference_id,a,b,c,d,e,f,g,h,i,j\n" + rows).encode()

    reply = run(lambda: house.post.report("iris", "text/csv", body))

    assert reply.status == 400
    assert json.loads(reply.body)["message"] == (
        "A request has 10,000 outcomes at most: report them in several."
    )


def test_what_is_wrong_late_in_a_large_report_is_told_with_what_is_kept(house: House) -> None:
    names = [f"x{number}" for number in range(60)]
    fine = [{"inference_id": str(number), "click": 1} for number in range(200)]
    bad = [{"inference_id": f"bad-{name}", name: 1} for name in names]

    ((status, document),) = report(house, json.dumps([*fine, *bad]).encode())

    assert status == 400
    assert document["message"].endswith("The 128 outcomes before that are kept.")
    again = report(house, json.dumps(fine[:128]).encode())
    assert again[0][1]["repeated"] == 128


def test_what_is_old_is_cleared_now_and_then(house: House) -> None:
    house.record("1")
    run(house.post.flush)

    house.clerk.look()

    assert report(house, click("1"))[0][1]["waiting"] == 1  # recorded in 1970: it is gone


def test_a_file_that_cannot_be_opened_keeps_nobody_from_anything_else(memory_path: Path) -> None:
    (memory_path / "outcomes.db").write_bytes(b"no database" * 1000)
    house = House(memory_path)
    house.desk.open(house.clerk.answer)

    house.clerk.look()
    ((status, document),) = report(house, click("1"))
    followed = run(lambda: house.post.promote(CALLER, "iris", b'{"policy": "thompson", "outcome": "click"}'))
    promoted = run(lambda: house.post.promote(CALLER, "iris", b'{"variant": "b"}'))

    assert (status, "is damaged" in document["message"]) == (500, True)
    assert (promoted.status, followed.status) == (200, 200)
    (memory_path / "outcomes.db").unlink()  # as somebody does who reads the log
    assert report(house, click("1"))[0][0] == 200
    house.close()
