from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import pytest

from service.clock import ManualClock
from service.processes.keeper import Keeper
from service.processes.leadership import Leadership
from service.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 2, 12, tzinfo=UTC))


def test_one_leads_and_another_takes_over_when_it_is_silent(store: Store, clock: ManualClock) -> None:
    one, other = (Leadership(store, "keeper", owner, clock) for owner in ("a", "b"))

    assert (one.is_held(), other.is_held()) == (True, False)
    for _ in range(20):
        clock.advance(2)
        assert (one.is_held(), other.is_held()) == (True, False)
    for _ in range(6):
        clock.advance(2)
        held = other.is_held()

    assert held
    assert not one.is_held()


def test_who_takes_the_place_of_a_dead_one_leads_at_once(store: Store, clock: ManualClock) -> None:
    assert Leadership(store, "keeper", "family/keeper", clock).is_held()

    assert Leadership(store, "keeper", "family/keeper", clock).is_held()
    assert not Leadership(store, "keeper", "others/keeper", clock).is_held()


def test_a_lease_is_renewed_from_time_to_time_and_not_each_time(store: Store, clock: ManualClock) -> None:
    leadership = Leadership(store, "keeper", "a", clock)
    for _ in range(9):
        assert leadership.is_held()
        clock.advance(0.5)

    lead = store.lead_of("keeper")
    assert lead is not None
    assert lead.beat == 3


def test_a_keeper_that_does_not_lead_does_nothing(store: Store) -> None:
    done: list[str] = []
    leads = iter([False, True, False])
    turns = iter([False, False, False, True])

    Keeper(store, [lambda: done.append("look")], lambda: next(leads)).run(lambda seconds: next(turns))

    assert done == ["look"]


@pytest.mark.parametrize("took_s", [0.0, 0.03, 0.5])
def test_a_keeper_whose_rounds_take_long_rests_longer(store: Store, took_s: float) -> None:
    rests: list[float] = []

    def leaves(seconds: float) -> bool:
        rests.append(seconds)
        return len(rests) > 3

    Keeper(store, [lambda: sleep(took_s)], lambda: True).run(leaves)

    assert rests[0] <= min(rests[1:])
    assert all(min(3 * took_s, 0.2) <= rest <= 0.2 for rest in rests[1:])
