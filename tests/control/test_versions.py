"""Which changes of a model's files count as a new version: users' do, what loads write soon does not."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from service.clock import ManualClock
from service.control.resources import OperationContext
from service.control.versions import Versions
from service.domain.caller import Caller

MODEL = Path("/models/one")
SETTLE_S = 0.25
LONG_S = 10_000.0


class Watched:
    """A model's files, as told by what happens to them; time passes by half a second with each look."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.version = 0
        self.changed_at = self.clock.now()
        self.is_loading = False
        context = OperationContext(
            Caller("000000000000", "us-east-1"),
            self.clock,
            lambda _location: str(self.version),
            reloads=True,
            changed_s=lambda _path: self.changed_at.timestamp(),
        )
        self.versions = Versions(context, self._loading, SETTLE_S, self.clock.monotonic)

    def _loading(self) -> set[str]:
        return {MODEL.as_uri()} if self.is_loading else set()

    def look(self, times: int = 2) -> str:
        """What counts after some looks."""
        for _ in range(times):
            self.clock.advance(0.5)
            self.versions.look([MODEL])
        (found,) = self.versions.settled()
        return found

    def write(self) -> None:
        self.clock.advance(0.01)
        self.version += 1
        self.changed_at = self.clock.now()

    def load(self, *, writes: bool) -> None:
        """What the keeper sees of an update."""
        self.is_loading = True
        self.look(1)
        if writes:
            self.write()
        self.clock.advance(0.01)
        self.versions.look([MODEL])
        self.is_loading = False


@pytest.fixture
def one() -> Watched:
    found = Watched()
    assert found.look() == "0"
    return found


def test_a_change_counts_once_nothing_more_changes(one: Watched) -> None:
    one.write()
    assert one.look(1) == "0"
    assert one.look(1) == "1"


def test_what_a_load_writes_each_time_counts_ever_more_rarely_and_at_last_no_more(one: Watched) -> None:
    one.write()
    counted, waited_s = [one.look()], list[float]()
    for _ in range(20):
        one.load(writes=True)
        began_s = one.clock.monotonic()
        while one.look(1) == counted[-1] and one.clock.monotonic() - began_s < LONG_S:
            continue
        if one.look(1) == counted[-1]:
            break
        counted.append(one.look(1))
        waited_s.append(one.clock.monotonic() - began_s)

    assert counted == [str(number) for number in range(1, 12)]
    assert max(waited_s[:3]) < 2
    assert all(later > earlier * 1.9 for earlier, later in pairwise(waited_s[3:]))
    assert waited_s[3] < 20 < 900 < waited_s[-1]


def test_edits_while_a_model_loads_count_all_however_many_they_are(one: Watched) -> None:
    """Somebody works on a model that takes long to load, and then has had enough: the last edit is served."""
    one.write()
    one.look()
    for _ in range(9):
        one.load(writes=True)
        one.look()
    last = str(one.version)
    assert one.look() != last  # so far it cannot be told from what a load writes

    one.look(60)

    assert one.look() == last
    one.load(writes=False)
    one.write()
    assert one.look() == str(one.version)


def test_an_edit_counts_after_whatever_loads_have_written(one: Watched) -> None:
    for _ in range(2):
        for _ in range(9):
            one.load(writes=True)
            one.look()
        passed_over = one.look()
        assert passed_over != str(one.version)
        one.write()
        assert one.look() == str(one.version)


def test_edits_as_soon_as_the_last_one_is_served_count_all(one: Watched) -> None:
    for _ in range(20):
        one.write()
        assert one.look() == str(one.version)
        one.load(writes=False)


def test_a_model_that_is_declared_no_more_is_forgotten(one: Watched) -> None:
    one.versions.look([])
    assert one.versions.settled() == ()
    one.write()
    assert one.look(1) == "1"
