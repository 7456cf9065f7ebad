"""The processes of a family as rows, each with a lease; and who leads where only one may do the work.

A lease holds as long as its `beat` grows. Clocks of different machines need not agree: whoever wants to know
whether a process lives watches, by a clock of its own that never goes back, whether the beat does. A process
that takes the place of one that died has its name, and so its row and what it led, at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from service.clock import Clock
from service.domain.endpoint import WarmReport, WarmState
from service.store.database import upsert
from service.store.tables import leases, members

RENEW_S: Final = 2.0
"""Seconds after which a lease is renewed."""

LEASE_S: Final = 30.0
"""Seconds without a beat after which nobody is there: a process may be kept from it by a model that loads."""

LEAD_S: Final = 10.0
"""As LEASE_S, for whoever leads: nothing keeps the keeper that long, and all wait for it."""


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What one gateway says of one model; `state` is `loaded`, `loading` or `failed`.

    `notes` warn, or say how the load goes, or why it failed.
    """

    name: str
    path: str
    state: str
    size_bytes: int
    description: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """What one gateway has made of the revision it saw last, and which models it holds.

    `member` is its name in the family. `beat` grows whenever it reports or renews its lease; the store counts
    it, whatever the caller says.
    """

    member: str
    revision: int
    reports: tuple[WarmReport, ...]
    models: tuple[ModelReport, ...] = ()
    beat: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Lead:
    """Who holds a lease, and its last beat."""

    owner: str
    beat: int


class LeaseWatch:
    """Whether the holders of leases live, as far as one watcher has seen their beats."""

    def __init__(self, clock: Clock, silent_s: float) -> None:
        """Who was not seen to beat for `silent_s` seconds is gone."""
        self._clock = clock
        self._silent_s = silent_s
        self._seen: dict[str, tuple[int, float]] = {}  # holder -> its last beat, and since when

    def is_alive(self, holder: str, beat: int) -> bool:
        """Whether a holder lives whose last beat is this one; who is seen for the first time does."""
        now_s = self._clock.monotonic()
        last, since_s = self._seen.get(holder, (None, now_s))
        if last != beat:
            self._seen[holder] = (beat, now_s)
            return True
        return now_s - since_s <= self._silent_s


def write_report(connection: Connection, report: GatewayReport) -> None:
    """Write a gateway's word, which renews its lease."""
    known = select(members.c.beat).where(members.c.name == report.member)
    row: dict[str, Any] = {
        "name": report.member,
        "beat": (connection.scalar(known) or 0) + 1,
        "revision": report.revision,
        "reports": [[r.endpoint, r.generation, r.variant, r.state.value, r.reason] for r in report.reports],
        "models": [
            [m.name, m.path, m.state, m.size_bytes, m.description, list(m.notes)] for m in report.models
        ],
    }
    upsert(connection, members, row)


def renew(connection: Connection, member: str) -> bool:
    """Let a member's beat grow; False where it was forgotten."""
    grown = update(members).where(members.c.name == member).values(beat=members.c.beat + 1)
    return connection.execute(grown).rowcount == 1


def read_reports(connection: Connection) -> list[GatewayReport]:
    """The last word of every gateway that was not forgotten, by name."""
    return [
        GatewayReport(
            row.name,
            row.revision,
            tuple(WarmReport(e, g, v, WarmState(state), why) for e, g, v, state, why in row.reports),
            tuple(ModelReport(n, p, s, b, d, tuple(notes)) for n, p, s, b, d, notes in row.models),
            row.beat,
        )
        for row in connection.execute(select(members).order_by(members.c.name))
    ]


def forget_members(connection: Connection, names: Iterable[str]) -> None:
    """Drop the words of gateways that are gone."""
    connection.execute(delete(members).where(members.c.name.in_(list(names))))


def forget_family(connection: Connection) -> None:
    """Drop all words and leases."""
    connection.execute(delete(members))
    connection.execute(delete(leases))


def read_lead(connection: Connection, name: str) -> Lead | None:
    """Who holds a lease, None if nobody ever did."""
    row = connection.execute(select(leases).where(leases.c.name == name)).first()
    return None if row is None else Lead(row.owner, row.beat)


def take_lead(connection: Connection, name: str, owner: str, seen: Lead | None) -> bool:
    """Hold a lease that is still as it was `seen`; False where somebody was faster.

    Must be called with the write lock, which keeps two apart who do so at once.
    """
    if read_lead(connection, name) != seen:
        return False
    beat = 1 if seen is None else seen.beat + 1
    upsert(connection, leases, {"name": name, "owner": owner, "beat": beat})
    return True
