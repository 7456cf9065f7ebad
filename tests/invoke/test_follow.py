import asyncio
import os
import resource
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest

from service.domain.endpoint import WarmState
from service.domain.kinds import Kind
from service.invoke.follow import Follower
from service.store.database import Location
from service.store.members import GatewayReport
from service.store.store import REGISTERED_MODELS, Delta, Store
from tests.conftest import wait_until
from tests.invoke.conftest import Open, World

_GOOD = "default_endpoint: iris\nendpoints: {iris: {variants: {v: {model: iris-logistic}}}}"
_BAD = "default_endpoint: iris\nendpoints: {iris: {variants: {v: {model: broken}}}}"


def _loaded(here: World) -> set[str]:
    return {entry.key.name for entry in here.host.cache.loaded}


def test_a_gateway_is_not_ready_before_it_has_read_the_endpoints(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            assert here.follower.problems() == ["The endpoints are not read yet."]
            assert here.follower.default_problems() == ["The endpoints are not read yet."]
            here.declare(_GOOD)
            await here.follower.look()
            assert "Endpoint iris is Creating." in here.follower.problems()
            assert here.follower.pending() == here.follower.problems()
            await here.settle()
            assert here.follower.problems() == []
            assert _loaded(here) == {"iris-logistic"}

    asyncio.run(run())


def test_a_model_whose_files_changed_says_so_and_answers_as_before(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.settle()
            await here.host.look_at_files()
            await here.follower.look()
            assert [report.notes for gateway in here.store.gateways() for report in gateway.models] == [()]

            os.utime(here.models / "iris-logistic" / "model.joblib", (1, 1))
            await here.host.look_at_files()
            await here.follower.look()
            ((report,),) = (gateway.models for gateway in here.store.gateways())
            assert (report.state, "changed on disk" in report.notes[-1]) == ("loaded", True)

            (here.models / "iris-logistic" / "model.joblib").unlink()
            (here.models / "iris-logistic").rename(here.models / "gone")
            await here.host.look_at_files()
            await here.follower.look()
            ((report,),) = (gateway.models for gateway in here.store.gateways())
            assert report.notes == ()

    asyncio.run(run())


def test_a_failed_model_is_a_problem_with_its_reason_until_it_is_mended(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_BAD)
            await here.settle()
            assert "cannot be read" in " ".join(here.follower.problems())
            assert here.follower.problems() == here.follower.default_problems()
            (report,) = here.store.gateways()
            assert {model.state for model in report.models} == {"failed"}

            shutil.copy(
                here.models / "iris-logistic" / "model.joblib", here.models / "broken" / "model.joblib"
            )
            follower = asyncio.create_task(here.follower.run())
            while here.follower.problems():
                await here.settle()
                await asyncio.sleep(0.05)
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 60))


class _OnceBusy(Store):
    """A store that cannot write a report each time that it was given a failure."""

    def __init__(self, location: Location) -> None:
        super().__init__(location)
        self.failures: list[OSError] = []
        self.reports = 0

    def report(self, state: GatewayReport) -> None:
        if self.failures:
            raise self.failures.pop()
        super().report(state)
        self.reports += 1


@pytest.mark.parametrize(("text", "problems"), [(_GOOD, 0), (_BAD, 1)])
def test_what_is_declared_is_waited_for_until_it_is_up_or_failed_also_if_a_look_fails(
    world: Open, text: str, problems: int
) -> None:
    async def run() -> None:
        async with world(_OnceBusy) as here:
            here.declare(text)
            await here.follower.look()
            assert isinstance(here.store, _OnceBusy)
            here.store.failures.append(OSError("the disk is busy"))
            before = here.store.reports
            settling = asyncio.create_task(here.follower.settle())
            while here.store.reports == before and not settling.done():  # until a look after the bad one
                await asyncio.wait([settling], timeout=0.01)
            assert not here.store.failures
            assert not settling.done()
            while not settling.done():
                here.reconcile()
                await asyncio.wait([settling], timeout=0.01)
            await settling
            assert len(here.follower.problems()) == problems

    asyncio.run(asyncio.wait_for(run(), 30))


@contextmanager
def _no_file_grows() -> Iterator[None]:
    """Nothing can be written, by anybody in this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_gateway_begins_while_the_store_can_be_read_and_not_written(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.settle()
            assert here.store.gateways() != []
            late = Follower(here.store, here.host, here.registry, "2")
            with _no_file_grows():
                await late.begin()
                await late.settle()
            assert late.directory.endpoints.keys() == {"iris"}
            assert [report.member for report in here.store.gateways()] == ["1"]

            await late.look()
            assert [report.member for report in here.store.gateways()] == ["1", "2"]
            await late.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_gateway_is_ready_once_all_is_up_or_failed_and_stays_so(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_BAD)
            await here.follower.look()
            assert here.follower.pending() != []
            await here.settle()
            assert here.follower.problems() != []
            assert here.follower.pending() == []
            assert here.follower.statuses() == {"iris": "Failed"}

            here.declare(_BAD.replace("iris:", "later:").replace(": iris", ": later"))
            await here.follower.look()
            assert "Endpoint later is Creating." in here.follower.problems()
            assert here.follower.pending() == []

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_update_that_is_being_prepared_or_fails_leaves_the_gateway_ready(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.settle()
            here.declare(_BAD)
            await here.follower.look()
            await here.follower.warm()
            assert here.follower.problems() == []
            await here.settle()
            assert here.follower.problems() == []
            assert here.follower.directory.endpoints["iris"].failure_reason

    asyncio.run(run())


def test_another_endpoints_problem_is_none_of_the_default_ones(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD.replace("}}}}", "}}}, other: {variants: {v: {model: broken}}}}"))
            await here.settle()
            assert here.follower.default_problems() == []
            assert "other" in " ".join(here.follower.problems())
            here.declare("endpoints: {other: {variants: {v: {model: broken}}}}")
            await here.settle()
            assert here.follower.directory.default is None
            assert here.follower.default_problems() == []

    asyncio.run(run())


def test_models_that_no_endpoint_names_any_more_are_unloaded(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.settle()
            here.declare(_GOOD.replace("iris-logistic", "iris-forest"))
            await here.settle()
            assert _loaded(here) == {"iris-forest"}
            here.declare("endpoints: {}")
            await here.settle()
            assert _loaded(here) == set()
            assert here.follower.problems() == []

    asyncio.run(run())


def test_gateways_report_on_endpoints_that_wait_for_it_and_on_no_others(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.follower.look()
            await here.follower.warm()
            await here.follower.look()
            (report,) = here.store.gateways()
            assert [(each.endpoint, each.variant, each.state) for each in report.reports] == [
                ("iris", "v", WarmState.WARM)
            ]
            await here.settle()
            (report,) = here.store.gateways()
            assert report.reports == ()
            assert report.revision == here.follower.directory.revision == here.store.revision()
            here.declare(_GOOD.replace("iris-logistic", "iris-forest"))
            await here.follower.look()
            (report,) = here.store.gateways()
            assert WarmState.LOADING in {each.state for each in report.reports}

    asyncio.run(run())


def test_a_quick_look_follows_and_reports_but_leaves_out_the_models(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.settle()
            (before,) = here.store.gateways()
            here.declare(_GOOD.replace("iris-logistic", "iris-forest"))
            await here.follower.look(quick=True)
            await here.follower.warm()
            await here.follower.look(quick=True)
            (quick,) = here.store.gateways()
            assert (quick.revision, quick.models) == (here.store.revision(), before.models)
            assert {each.state for each in quick.reports} == {WarmState.WARM}
            await here.follower.look()
            (whole,) = here.store.gateways()
            assert len(whole.models) == 2

    asyncio.run(run())


def test_a_registered_name_that_goes_leaves_a_model_that_an_endpoint_names(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            await here.settle()
            location = here.follower.directory.endpoints["iris"].fleets[0].variants[0].source.location
            for known in ({"one": location}, {}):
                with here.store.change() as change:
                    change.put_fact(REGISTERED_MODELS, known)
                await here.follower.look()
                assert dict(here.follower.directory.registered) == known
            assert _loaded(here) == {"iris-logistic"}

    asyncio.run(run())


def test_a_look_that_fails_does_not_end_the_following(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_GOOD)
            store = _Locked(here.models.parent / "state.db")
            follower = Follower(store, here.host, here.registry, "2")
            following = asyncio.create_task(follower.run())
            await asyncio.to_thread(wait_until, lambda: follower.directory.endpoints)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await follower.close()
            store.close()
            assert store.refusals == 0

    asyncio.run(asyncio.wait_for(run(), 60))


class _Locked(Store):
    """A store that cannot be read the first two times."""

    refusals = 2

    def changes_since(self, revision: int, kinds: Collection[Kind] = tuple(Kind)) -> Delta:
        if self.refusals:
            self.refusals -= 1
            raise OSError("the disk is busy")
        return super().changes_since(revision, kinds)
