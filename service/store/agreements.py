"""How variants answered the same live rows, as rows beside the outcomes: one row of each endpoint."""

from collections.abc import Mapping
from typing import Final

import orjson
from sqlalchemy import Connection

from service.experiments.live_agreement import LiveAgreement

AGREEMENTS: Final = (
    "CREATE TABLE IF NOT EXISTS agreements"
    " (endpoint TEXT PRIMARY KEY, generation INTEGER NOT NULL, told TEXT NOT NULL)"
)


def agreement_of(connection: Connection, endpoint: str) -> LiveAgreement | None:
    """What is known of an endpoint's newest fleet, None if no call was asked twice."""
    found = connection.exec_driver_sql("SELECT told FROM agreements WHERE endpoint = ?", (endpoint,)).first()
    return None if found is None else LiveAgreement.of_told(orjson.loads(found[0]))


def add_agreements(connection: Connection, found: Mapping[str, LiveAgreement]) -> None:
    """Add what was found out, by endpoint; of a fleet that is no longer the newest nothing is kept."""
    for endpoint, agreement in found.items():
        _add(connection, endpoint, agreement)


def _add(connection: Connection, endpoint: str, found: LiveAgreement) -> None:
    known = agreement_of(connection, endpoint)
    if known is not None and known.generation > found.generation:
        return
    if known is None or known.generation < found.generation:
        known = LiveAgreement(found.generation)
    known.add(found)
    row = (endpoint, known.generation, orjson.dumps(known.told()).decode())
    connection.exec_driver_sql("INSERT OR REPLACE INTO agreements VALUES (?, ?, ?)", row)
