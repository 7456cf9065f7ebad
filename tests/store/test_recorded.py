"""Databases that former releases wrote, kept beside this file, opened by the code of today."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.domain.kinds import Kind
from service.store.migrate import check_whole, upgrade_tables
from tests.control.conftest import Control
from tests.invoke.conftest import CONTEXT
from tests.store.later import with_unknown_members

RECORDED = Path(__file__).with_name("recorded")

Edit = Callable[[Any], Any]


def as_it_is(state: Any) -> Any:
    return state


@pytest.fixture(params=[as_it_is, with_unknown_members], ids=["as recorded", "with unknown members"])
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Control:
    """The control plane over the recorded database, led to the tables of today."""
    path = tmp_path / "state.db"
    edit: Edit = request.param
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((RECORDED / "step_0003.sql").read_text())
        for row, state in connection.execute("SELECT rowid, state FROM resources").fetchall():
            edited = json.dumps(edit(json.loads(state)))
            connection.execute("UPDATE resources SET state = ? WHERE rowid = ?", (edited, row))
        connection.commit()
    upgrade_tables(path)
    check_whole(path)
    return Control(tmp_path)


def test_what_a_former_release_wrote_is_described_as_it_described_it(control: Control) -> None:
    told = json.loads((RECORDED / "step_0003_described.json").read_text())

    with closing(control.store):
        endpoints = {name: control.describe(name) for name in control.names(Kind.ENDPOINT)}
        jobs = {
            name: control.call("DescribeTransformJob", TransformJobName=name)
            for name in control.names(Kind.TRANSFORM_JOB)
        }

    assert json.loads(json.dumps({"endpoints": endpoints, "jobs": jobs}, default=str)) == told


def test_what_was_under_way_in_a_former_release_goes_on(control: Control) -> None:
    with closing(control.store):
        control.report(pid=4242)
        while control.keep(alive=[4242]):
            control.report(pid=4242)
        statuses = {one.name: one.status for one in control.store.of_kind(Kind.ENDPOINT)}
        lease = control.store.queue.claim(CONTEXT.clock.now(), 0.0, 60.0)

    assert "removed" not in statuses
    assert {name for name, status in statuses.items() if status != "InService"} == {"broken"}
    assert lease is not None
