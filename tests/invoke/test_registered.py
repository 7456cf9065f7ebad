import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from service.errors import BadPayload, ModelFailure, ModelFault, ModelNotFound
from service.hosting.host import Answer, Call
from service.invoke.directory import registered_address
from service.invoke.invocation import Invocation
from service.invoke.predict import Predictor
from service.invoke.registered import RegisteredModels
from service.invoke.settling import Settled, Tap
from tests.invoke.conftest import CALLER, ROW, Open, World

_CALL = Call(ROW, "text/csv", None)


def _predictor(here: World, taps: Sequence[Tap] = ()) -> Predictor:
    follower = here.follower
    return Predictor(lambda: follower.directory, lambda: 0.0, here.registry, follower.catch_up, taps)


def _invoke(here: World) -> Callable[[str, Call], Awaitable[Answer]]:
    predictor = _predictor(here)

    async def invoke(name: str, call: Call) -> Answer:
        return (await predictor.predict(Invocation(CALLER, registered_address(name), call))).answer

    return invoke


def test_a_registered_model_answers_at_once_and_is_forgotten_when_unregistered(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models, invoke = RegisteredModels(here.store, here.host), _invoke(here)
            url = str(here.models / "iris-logistic")
            await models.register("a", url)
            assert models.names() == {"a": url}
            assert (await invoke("a", _CALL)).body == b"[0]"  # the directory does not know it yet
            await here.follower.look()
            assert dict(here.follower.directory.registered) == {"a": url}
            assert (await invoke("a", _CALL)).body == b"[0]"
            await models.unregister("a")
            assert models.names() == {}
            assert not list(here.host.cache.loaded)
            await here.follower.look()
            with pytest.raises(ModelNotFound):
                await invoke("a", _CALL)
            with pytest.raises(ModelNotFound):
                await models.unregister("a")

    asyncio.run(run())


def test_what_cannot_be_loaded_is_not_registered(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models = RegisteredModels(here.store, here.host)
            with pytest.raises(ModelFailure, match="cannot be read"):
                await models.register("a", str(here.models / "broken"))
            with pytest.raises(ModelNotFound):
                await models.register("a", str(here.models.parent))
            with pytest.raises(BadPayload, match="1024"):
                await models.register("n" * 1025, str(here.models / "iris-logistic"))
            assert models.names() == {}

    asyncio.run(run())


def test_of_two_registrations_of_one_name_at_once_one_is_409(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models = RegisteredModels(here.store, here.host)
            urls = [str(here.models / name) for name in ("iris-logistic", "iris-forest")]
            outcomes = await asyncio.gather(
                *(models.register("a", url) for url in urls), return_exceptions=True
            )
            (lost,) = [outcome for outcome in outcomes if outcome is not None]
            assert isinstance(lost, ModelFault)
            assert lost.status == 409
            assert models.names() == {"a": urls[outcomes.index(None)]}
            with pytest.raises(ModelFault, match="already registered"):
                await models.register("a", urls[0])

    asyncio.run(run())


def test_calls_of_a_registered_model_are_counted_and_told_like_those_of_a_variant(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models, told = RegisteredModels(here.store, here.host), list[Settled]()
            await models.register("a", str(here.models / "iris-logistic"))
            predictor = _predictor(here, [told.append])
            bodies = [ROW, b"junk", ROW]
            for body in bodies:
                invocation = Invocation(CALLER, registered_address("a"), Call(body, "text/csv", None))
                await asyncio.gather(predictor.predict(invocation), return_exceptions=True)
            counter = here.registry.invocation("/models/a", "AllTraffic")
            assert (counter.requests, counter.errors) == (3, {("ModelError", 4): 1})
            assert 0 < counter.model_seconds <= counter.seconds
            assert [(one.invocation.endpoint, one.variant, one.invocation.call.body) for one in told] == [
                ("/models/a", "AllTraffic", body) for body in bodies
            ]
            with pytest.raises(ModelNotFound):
                await predictor.predict(Invocation(CALLER, registered_address("b"), _CALL))
            assert here.registry.snapshot().counts.refusals == {"ModelError": 1}

    asyncio.run(run())


def test_a_target_model_means_nothing_to_a_registered_model(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models, invoke = RegisteredModels(here.store, here.host), _invoke(here)
            await models.register("a", str(here.models / "iris-logistic"))
            call = _CALL._replace(target_model="other.tar.gz")
            assert (await invoke("a", call)).body == b"[0]"
            with pytest.raises(ModelNotFound, match="Model not found: b"):
                await invoke("b", call)

    asyncio.run(run())


def test_a_registered_model_keeps_its_route_until_its_name_means_another(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models = RegisteredModels(here.store, here.host)
            logistic, forest = (str(here.models / name) for name in ("iris-logistic", "iris-forest"))
            await models.register("a", logistic)
            await here.follower.look()
            route = here.follower.directory.routes["/models/a"]
            await models.register("b", forest)
            await here.follower.look()
            assert set(here.follower.directory.routes) == {"/models/a", "/models/b"}
            assert here.follower.directory.routes["/models/a"] is route
            await models.unregister("a")
            await models.register("a", forest)
            await models.unregister("b")
            await here.follower.look()
            assert set(here.follower.directory.routes) == {"/models/a"}
            moved = here.follower.directory.routes["/models/a"].named["AllTraffic"]
            assert moved.replica.source.location == forest

    asyncio.run(run())
