import asyncio
from dataclasses import replace
from itertools import count, cycle
from time import monotonic

import pytest

from service.load.engine import Engine
from service.load.loops import ClosedLoop, OpenLoop
from service.load.plan import TARGET_VARIANT, Plan, RateStage, RequestBody, parse_place, wire
from service.load.tally import Errors, Tally
from tests.conftest import free_port
from tests.load.stub import Asked, Reply, Stub, serving

_VARIANT = {"x-Amzn-Invoked-Production-Variant": "a"}


def _plan(url: str, **changes: object) -> Plan:
    place = parse_place(url)
    assert place is not None
    plan = Plan(
        place=place,
        path="/endpoints/e/invocations",
        headers={},
        bodies=(RequestBody(b"1", "text/csv"),),
        rate=200.0,
        connections=16,
        duration_s=0.5,
        interval_s=0.1,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of Plan by name


def _run(plan: Plan, part: int = 0, parts: int = 1) -> Tally:
    return asyncio.run(_carry_out(plan, part, parts)).tally


async def _carry_out(plan: Plan, part: int = 0, parts: int = 1, stop_after_s: float | None = None) -> Engine:
    engine = make(plan, part, parts)
    if stop_after_s is not None:
        asyncio.get_running_loop().call_later(stop_after_s, engine.stop)
    await engine.run()
    return engine


def make(plan: Plan, part: int = 0, parts: int = 1) -> Engine:
    requests = cycle([wire(plan, body) for body in plan.bodies]).__next__
    if plan.rate is None:
        return ClosedLoop(plan, monotonic(), requests)
    return OpenLoop(plan, monotonic(), requests, part, parts)


def _answering(asked: Asked) -> Reply:
    return Reply(headers=_VARIANT)


def _slower_than(tally: Tally, bound_s: float) -> int:
    rows = tally.series["a"].latencies().rows()
    return sum(count for low_s, _, count in rows if low_s > bound_s)


class _Stall:
    """Answers nobody for so long after the first request."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._over_s = 0.0

    def __call__(self, asked: Asked) -> Reply:
        now_s = monotonic()
        self._over_s = self._over_s or now_s + self._length_s
        return Reply(headers=_VARIANT, delay_s=max(0.0, self._over_s - now_s))


@pytest.mark.parametrize("connections", [1, 256])
def test_an_open_loop_shows_a_stall_to_every_request_that_was_due_in_it(connections: int) -> None:
    with serving(_Stall(1.0)) as stub:
        tally = _run(_plan(stub.url, rate=100.0, duration_s=1.5, connections=connections))

    # Those due in the first half of the second waited for the other half at least, sent or not.
    assert _slower_than(tally, 0.49) >= 50
    assert tally.answered == 150
    assert (tally.most_backlog > 0) == (connections == 1)
    assert tally.most_backlog <= 150


def test_a_closed_loop_sends_no_more_while_its_caller_waits() -> None:
    with serving(_Stall(1.0)) as stub:
        tally = _run(_plan(stub.url, rate=None, connections=1, most_requests=10, duration_s=60.0))

    assert tally.answered == 10
    assert _slower_than(tally, 0.9) == 1


def test_an_open_loop_sends_exactly_what_is_due() -> None:
    with serving(_answering) as stub:
        tallies = [_run(_plan(stub.url), part, 3) for part in range(3)]

    assert sum(tally.answered for tally in tallies) == 100
    assert len(stub.asked) == 100
    assert all(not tally.failed and not tally.unfinished for tally in tallies)


def test_random_arrivals_are_as_many_as_their_schedule_has() -> None:
    with serving(_answering) as stub:
        tally = _run(_plan(stub.url, poisson=True, most_requests=40, duration_s=30.0))

    assert tally.answered == len(stub.asked) == 40


def test_what_warms_up_is_sent_and_not_counted() -> None:
    with serving(_answering) as stub:
        tally = _run(_plan(stub.url, warm_up_s=0.25))

    assert tally.answered == 100
    assert len(stub.asked) == 150
    assert max(tally.series["a"].answers) <= 4


def test_no_more_connections_are_opened_than_allowed() -> None:
    with serving(lambda _: Reply(headers=_VARIANT, delay_s=0.02)) as stub:
        tally = _run(_plan(stub.url, connections=3))

    assert tally.answered == 100
    assert stub.connections <= 3


def test_bodies_take_turns() -> None:
    bodies = tuple(RequestBody(text, "text/csv") for text in (b"1", b"2", b"3"))
    with serving(_answering) as stub:
        _run(_plan(stub.url, bodies=bodies, connections=1, rate=None, most_requests=9))

    assert [asked.body for asked in stub.asked] == [b"1", b"2", b"3"] * 3


def test_failures_are_counted_by_code_with_the_first_message() -> None:
    answers = cycle(
        [
            Reply(
                424, b'{"Message": "long", "OriginalMessage": "bad row"}', {"x-amzn-errortype": "ModelError"}
            ),
            Reply(headers=_VARIANT),
            Reply(503, b"busy"),
            Reply(raw=b"", close=True),
        ]
    )
    with serving(lambda _: next(answers)) as stub:
        tally = _run(_plan(stub.url, most_requests=8, connections=1, rate=None, duration_s=60.0))

    assert tally.series[""].errors == {
        "424 ModelError": Errors(2, "bad row"),
        "503": Errors(2, "busy"),
        "ConnectionLost": Errors(2, "the server closed the connection"),
    }
    assert (tally.answered, tally.failed) == (2, 6)


def test_failures_are_put_down_to_the_variant_that_was_asked_for() -> None:
    with serving(lambda _: Reply(500, b"")) as stub:
        tally = _run(_plan(stub.url, headers={TARGET_VARIANT: "forest"}))

    assert tally.series["forest"].errors == {"500": Errors(100, "")}
    assert sum(tally.series["forest"].failed.values()) == 100


def test_a_server_that_closes_every_connection_loses_no_request() -> None:
    with serving(lambda _: Reply(headers={**_VARIANT, "Connection": "close"}, close=True)) as stub:
        tally = _run(_plan(stub.url, rate=None, connections=2, most_requests=30, duration_s=60.0))

    assert (tally.answered, tally.failed) == (30, 0)
    assert stub.connections >= 30


def test_no_server_fails_every_request_and_ends() -> None:
    tally = _run(_plan(f"http://127.0.0.1:{free_port()}"))

    assert tally.series[""].errors["NoConnection"].count == tally.failed == 100


def test_silence_fails_what_was_sent_and_what_never_could_be() -> None:
    with serving(lambda _: Reply(delay_s=3600.0)) as stub:
        tally = _run(_plan(stub.url, connections=2, timeout_s=0.3))

    errors = tally.series[""].errors
    assert errors["Timeout"].example == "no answer within 0.3 s"
    assert sum(each.count for each in errors.values()) == tally.failed == 100


def test_a_stopped_run_says_what_it_left_unfinished() -> None:
    with serving(lambda _: Reply(delay_s=3600.0)) as stub:
        engine = asyncio.run(_carry_out(_plan(stub.url, duration_s=3600.0, connections=4), stop_after_s=0.3))

    assert engine.tally.unfinished >= 4
    assert engine.tally.failed == 0
    assert 0 < engine.counted_s < 3600


def _counted_s(plan: Plan, parts: int = 1, stop_after_s: float | None = None) -> float:
    return max(asyncio.run(_carry_out(plan, part, parts, stop_after_s)).counted_s for part in range(parts))


def test_so_many_requests_at_a_rate_are_counted_over_their_turns() -> None:
    with serving(_answering) as stub:
        counted_s = _counted_s(_plan(stub.url, most_requests=50, duration_s=3600.0))
        shared_s = _counted_s(_plan(stub.url, most_requests=25, duration_s=3600.0), 2)

    # 50 at 200/s take 0.25 s with the last one's turn; more only if its answer came later than that.
    assert 0.25 - 1e-6 < counted_s < 60
    assert 0.25 - 1e-6 < shared_s < 60


def test_so_many_requests_are_counted_until_the_last_is_answered() -> None:
    with serving(_Stall(1.0)) as stub:
        closed_s = _counted_s(
            _plan(stub.url, rate=None, connections=1, most_requests=10, duration_s=3600.0, warm_up_s=0.0)
        )
    with serving(_Stall(1.0)) as stub:
        open_s = _counted_s(_plan(stub.url, most_requests=20, duration_s=3600.0, connections=1))

    assert 1.0 <= closed_s < 60
    assert 0.9 <= open_s < 60


def test_a_run_that_its_duration_ends_is_counted_over_that() -> None:
    with serving(_answering) as stub:
        assert _counted_s(_plan(stub.url, duration_s=0.2, most_requests=1_000_000)) == pytest.approx(0.2)


def test_a_run_of_so_many_that_is_stopped_is_counted_until_then() -> None:
    with serving(_answering) as stub:
        counted_s = _counted_s(_plan(stub.url, most_requests=1_000_000, duration_s=3600.0), stop_after_s=0.3)

    assert 0.2 < counted_s < 60


def test_a_glance_says_how_it_is_going() -> None:
    with serving(lambda _: Reply(delay_s=3600.0)) as stub:

        async def look(stub: Stub) -> Engine:
            engine = make(_plan(stub.url, connections=2, duration_s=3600.0))
            run = asyncio.create_task(engine.run())
            while engine.glance().backlog < 5:  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(0.01)
            assert engine.glance().in_flight == 2
            engine.stop()
            await run
            return engine

        assert asyncio.run(look(stub)).tally.answered == 0


def test_a_run_of_stages_counts_each_apart() -> None:
    stages = (RateStage(40.0, 0.5), RateStage(200.0, 0.5))
    with serving(_answering) as stub:
        tally = _run(_plan(stub.url, rate=200.0, duration_s=1.0, warm_up_s=0.25, stages=stages))

    assert {number: series.latencies().total for number, series in tally.stages.items()} == {0: 20, 1: 100}
    assert tally.answered == 120


def test_what_a_variant_first_answered_to_a_body_is_kept() -> None:
    turns = count()

    def script(asked: Asked) -> Reply:
        return Reply(headers=_VARIANT, body=asked.body + str(next(turns)).encode())

    bodies = tuple(RequestBody(text, "text/csv") for text in (b"x", b"y", b"z"))
    with serving(script) as stub:
        plan = _plan(stub.url, rate=None, connections=1, most_requests=7, duration_s=60.0, bodies=bodies)
        tally = _run(replace(plan, keeps_answers=True))

    assert tally.answers == {"a": {0: b"x0", 1: b"y1", 2: b"z2"}}


def test_a_failed_request_of_a_stage_is_its_own() -> None:
    with serving(lambda asked: Reply(500)) as stub:
        stages = (RateStage(20.0, 0.25), RateStage(40.0, 0.25))
        tally = _run(_plan(stub.url, rate=40.0, duration_s=0.5, stages=stages))

    assert {number: series.failed for number, series in tally.stages.items()} == {0: {0: 5}, 1: {0: 10}}
    assert tally.answers == {}
