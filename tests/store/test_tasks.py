"""The queue of tasks, on every database: who holds what, for how long, and what is remembered."""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.clock import ManualClock
from service.errors import LeaseLost
from service.store.database import Location
from service.store.results import InputResult, JobTotals
from service.store.store import Store
from service.store.tasks import TaskInput, TaskLease

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SILENT_S = 6.0


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def inputs(count: int, size_bytes: int = 10) -> list[TaskInput]:
    return [TaskInput(f"{number}.csv", f"s3/bucket/{number}.csv", size_bytes) for number in range(count)]


def add(store: Store, job: str = "job", now: datetime = NOON) -> None:
    with store.change() as change:
        change.tasks.add(job, now)


def claim(store: Store, now: datetime = NOON, **options: object) -> TaskLease:
    """Claim, and look at once at what is held now."""
    lease = store.queue.claim(now, now.timestamp(), SILENT_S, **options)  # type: ignore[arg-type]
    assert lease is not None
    watch(store, now)
    return lease


def watch(store: Store, now: datetime = NOON) -> None:
    store.queue.watch(now.timestamp(), SILENT_S)


def plan(store: Store, groups: list[list[TaskInput]], job: str = "job", now: datetime = NOON) -> None:
    add(store, job, now)
    lease = claim(store, now)
    assert (lease.kind, lease.job) == ("plan", job)
    with store.change() as change:
        change.tasks.plan(lease, groups)


def stop(store: Store, job: str = "job") -> None:
    with store.change() as change:
        change.tasks.stop(job, NOON)


def nothing_left(store: Store, now: datetime = NOON) -> bool:
    return store.queue.claim(now, now.timestamp(), SILENT_S) is None


def test_a_job_is_planned_worked_on_and_settled(store: Store) -> None:
    plan(store, [inputs(2)])

    work = claim(store)
    assert (work.kind, work.inputs, work.attempts, work.stopping) == ("work", tuple(inputs(2)), 1, False)
    assert nothing_left(store)
    store.queue.finish(work, NOON)

    settle = claim(store)
    assert (settle.kind, settle.job, settle.inputs) == ("settle", "job", ())
    with store.change() as change:
        change.tasks.check(settle)
        change.tasks.forget("job")
    assert nothing_left(store, later(100))


def test_a_job_without_inputs_is_settled_at_once(store: Store) -> None:
    plan(store, [])

    assert claim(store).kind == "settle"


def test_the_queue_survives_the_process(location: Location) -> None:
    first = Store(location)
    plan(first, [inputs(1)])
    first.close()

    second = Store(location)
    assert claim(second).inputs == tuple(inputs(1))
    second.close()


def test_a_claim_takes_an_eighth_of_what_waits_or_as_many_bytes_as_asked_for(store: Store) -> None:
    plan(store, [[one] for one in inputs(81)])

    first = claim(store)
    second = claim(store, least_bytes=200)

    assert len(first.numbers) == 1 + 80 // 8
    assert len(second.numbers) == 21
    assert not set(first.numbers) & set(second.numbers)


def test_older_jobs_come_first_unless_they_had_their_turn(store: Store) -> None:
    plan(store, [[one] for one in inputs(3)], "old")
    plan_later = later(1)
    add(store, "new", plan_later)

    assert claim(store, later(2)).job == "old"
    assert claim(store, later(2), after="old").job == "new"
    assert claim(store, later(2), after="old").job == "old"


def test_a_lease_lasts_as_long_as_it_is_renewed(store: Store) -> None:
    plan(store, [inputs(1)])
    lease = claim(store)

    assert nothing_left(store, later(6))
    assert store.queue.beat(lease, later(6))
    assert nothing_left(store, later(12))
    assert nothing_left(store, later(18))
    taken = claim(store, later(18.1))

    assert (taken.numbers, taken.attempts, taken.fresh) == (lease.numbers, 2, False)
    assert lease.fresh
    assert taken.id != lease.id
    assert not store.queue.beat(lease, later(18.2))
    assert not store.queue.look(lease).held
    assert store.queue.look(taken).held


@pytest.mark.parametrize("ahead_s", [-86400, 0, 86400])
def test_clocks_need_not_agree_and_may_be_set(location: Location, ahead_s: float) -> None:
    holder, other = Store(location), Store(location)
    plan(holder, [inputs(1)])
    lease = claim(holder, later(ahead_s))

    for second in range(0, 30, 3):
        now = later(-3600) if second > 15 else later(second + ahead_s)  # the holder's clock is set back
        assert holder.queue.beat(lease, now)
        assert other.queue.claim(later(second), second, SILENT_S) is None
    assert other.queue.claim(later(33), 33, SILENT_S) is None
    taken = other.queue.claim(later(-7200), 33.1, SILENT_S)

    assert taken is not None
    assert taken.numbers == lease.numbers
    holder.close()
    other.close()


def test_who_comes_late_watches_before_it_takes_over(store: Store, location: Location) -> None:
    plan(store, [inputs(1)])
    claim(store)
    late = Store(location)

    assert late.queue.claim(later(1000), 1000, SILENT_S) is None
    assert late.queue.claim(later(1006), 1006, SILENT_S) is None
    assert late.queue.claim(later(1007), 1007, SILENT_S) is not None
    late.close()


def test_who_lost_a_lease_can_change_nothing(store: Store) -> None:
    plan(store, [inputs(2)])
    lost = claim(store)
    taken = claim(store, later(7))

    acts: list[Callable[[], None]] = [
        lambda: store.queue.note(lost, InputResult("0.csv"), later(7)),
        lambda: store.queue.finish(lost, later(7)),
        lambda: store.queue.fail(lost, "why", later(7)),
        lambda: store.queue.split(lost, inputs(1)),
    ]
    for act in acts:
        with pytest.raises(LeaseLost):
            act()
    store.queue.release(lost)
    with store.change() as change, pytest.raises(LeaseLost):
        change.tasks.check(lost)

    assert store.queue.look(taken).held
    assert store.queue.results_of("job") == {}
    assert store.queue.fault_of("job") is None


def test_what_was_tried_before_is_claimed_alone(store: Store) -> None:
    plan(store, [[one] for one in inputs(20)])
    lease = claim(store)
    assert len(lease.numbers) > 1

    again = [claim(store, later(7)) for _ in lease.numbers]

    assert [len(one.numbers) for one in again] == [1] * len(lease.numbers)
    assert {(one.attempts, one.fresh) for one in again} == {(1, False)}


def test_what_somebody_died_at_comes_behind_the_rest_of_its_job(store: Store) -> None:
    plan(store, [[one] for one in inputs(3)])
    first = claim(store)

    names = [claim(store, later(7)).inputs[0].name for _ in range(3)]

    assert first.inputs[0].name == "0.csv"
    assert names == ["1.csv", "2.csv", "0.csv"]


def test_what_is_given_back_is_there_at_once_and_counts_as_not_tried(store: Store) -> None:
    plan(store, [inputs(1)])

    store.queue.release(claim(store))
    again = claim(store)
    assert (again.attempts, again.fresh) == (1, True)
    store.queue.release(again, counted=True)

    assert claim(store).attempts == 2


def test_results_are_remembered_by_name(store: Store) -> None:
    plan(store, [inputs(2)])
    lease = claim(store)
    good = InputResult("ü \udc80.csv", 5, 4, 1, 0.25, None, "3-4")
    bad = InputResult("x" * 1024, 5, error="record 3: \0")

    store.queue.note(lease, InputResult(good.name, 1), NOON)
    store.queue.note(lease, good, NOON)
    store.queue.note(lease, bad, NOON)

    assert store.queue.results_of("job") == {good.name: good, bad.name: bad}
    assert store.queue.results_of("job", [bad.name, "other"]) == {bad.name: bad}
    assert store.queue.results_of("other") == {}
    assert store.queue.tally("job") == JobTotals(files=2, failed=1, rows_in=10, rows_out=4)
    assert store.queue.tally("other") == JobTotals()


def test_a_fault_ends_the_job_and_the_first_one_counts(store: Store) -> None:
    plan(store, [[one] for one in inputs(3)])
    first, second = claim(store), claim(store)

    store.queue.fail(first, "the first reason", NOON)
    assert store.queue.look(second).stopping
    store.queue.fail(second, "the second reason", NOON)

    assert claim(store).kind == "settle"
    assert store.queue.fault_of("job") == "the first reason"
    assert store.queue.results_of("job") == {}
    assert store.queue.tally("job") == JobTotals()


def test_stop_drops_what_waits_and_tells_who_works(store: Store) -> None:
    plan(store, [[one] for one in inputs(3)])
    lease = claim(store)

    stop(store)

    assert store.queue.look(lease).stopping
    assert nothing_left(store)
    store.queue.finish(lease, NOON)
    assert claim(store).kind == "settle"


def test_a_job_that_is_stopped_before_anybody_began_is_settled(store: Store) -> None:
    add(store)

    stop(store)
    stop(store)

    assert claim(store).kind == "settle"
    assert nothing_left(store)


def test_a_job_that_is_stopped_while_it_is_planned_gets_no_work(store: Store) -> None:
    add(store)
    lease = claim(store)

    stop(store)
    with store.change() as change:
        change.tasks.plan(lease, [inputs(5)])

    assert claim(store).kind == "settle"


def test_a_stopped_task_whose_worker_died_is_claimed_as_stopping(store: Store) -> None:
    plan(store, [inputs(1)])
    claim(store)
    stop(store)

    assert claim(store, later(7)).stopping


def test_a_split_task_becomes_one_for_each_input(store: Store) -> None:
    plan(store, [inputs(3)])
    for attempt in range(4):
        lease = claim(store, later(7 * attempt))

    store.queue.split(lease, lease.inputs[1:])

    parts = [claim(store, later(30)) for _ in range(2)]
    assert sorted(part.inputs[0].name for part in parts) == ["1.csv", "2.csv"]
    assert {(len(part.inputs), part.attempts) for part in parts} == {(1, 3)}
    assert nothing_left(store, later(30))


def test_of_many_threads_that_finish_one_queues_the_settling(store: Store) -> None:
    plan(store, [[one] for one in inputs(40)])
    done: list[int] = []

    def work() -> None:
        while (
            lease := store.queue.claim(NOON, NOON.timestamp(), SILENT_S)
        ) is not None and lease.kind == "work":
            store.queue.finish(lease, NOON)
            done.extend(lease.numbers)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(done) == list(range(1, 41))
    with store.change() as change:
        change.tasks.forget("job")
    assert nothing_left(store, later(100))


@hypothesis_settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_no_task_has_two_live_owners_and_none_is_lost(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Workers claim, beat, note, finish, give back and die at random, until everything is done."""
    random_ = random.Random(seed)
    clock = ManualClock(NOON)
    store = Store(tmp_path_factory.mktemp("queue") / "state.db")
    plan(store, [[one] for one in inputs(12)])
    live: list[tuple[TaskLease, datetime]] = []  # with the time of the last beat
    finished: list[str] = []
    settled = 0
    while not settled:
        act = random_.choice(("claim", "claim", "beat", "beat", "finish", "back", "die", "wait"))
        if act == "wait":
            clock.advance(random_.choice((0.5, 3.0, 6.5)))
        elif (
            act == "claim"
            and (lease := store.queue.claim(clock.now(), clock.monotonic(), SILENT_S)) is not None
        ):
            fresh = [
                other
                for other, beat in live
                if (clock.now() - beat).total_seconds() < SILENT_S and other.job == lease.job
            ]
            assert not any(set(other.numbers) & set(lease.numbers) for other in fresh)
            settled += lease.kind == "settle"
            live.append((lease, clock.now()))
        elif live and act != "claim":
            held, beat = live.pop(random_.randrange(len(live)))
            if act == "beat" and store.queue.beat(held, clock.now()):
                live.append((held, clock.now()))
            elif act == "back":
                store.queue.release(held)
            elif act == "finish":
                try:
                    store.queue.finish(held, clock.now())
                    finished += [one.name for one in held.inputs]
                except LeaseLost:
                    assert (clock.now() - beat).total_seconds() > SILENT_S
    assert sorted(finished) == sorted(one.name for one in inputs(12))
    store.close()


def test_a_worker_gets_tasks_of_its_kind_of_job_alone(store: Store) -> None:
    with store.change() as change:
        change.tasks.add("other", NOON, "training")
        change.tasks.add("job", later(1))

    first = store.queue.claim(later(2), 2, SILENT_S)
    assert first is not None
    assert (first.job, first.job_kind) == ("job", "transform")
    assert store.queue.claim(later(2), 2, SILENT_S) is None
    found = store.queue.claim(later(2), 2, SILENT_S, job_kind="training")
    assert found is not None
    assert (found.job, found.job_kind) == ("other", "training")

    store.queue.finish(found, later(3))  # and so what comes after it
    last = store.queue.claim(later(4), 4, SILENT_S, job_kind="training")
    assert last is not None
    assert (last.job, last.kind) == ("other", "settle")
