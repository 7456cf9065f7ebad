import asyncio

import pytest

from service.errors import BadPayload, ModelFailure, ModelFault, ModelNotFound
from service.hosting.host import Call
from service.invoke.registered import RegisteredModels
from tests.invoke.conftest import ROW, Open

_CALL = Call(ROW, "text/csv", None)


def test_a_registered_model_answers_at_once_and_is_forgotten_when_unregistered(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models = RegisteredModels(here.store, here.host, lambda: here.follower.directory)
            url = str(here.models / "iris-logistic")
            await models.register("a", url)
            assert models.names() == {"a": url}
            assert (await models.invoke("a", _CALL)).body == b"[0]"  # the directory does not know it yet
            await here.follower.look()
            assert dict(here.follower.directory.registered) == {"a": url}
            assert (await models.invoke("a", _CALL)).body == b"[0]"
            await models.unregister("a")
            assert models.names() == {}
            assert not list(here.host.cache.loaded)
            await here.follower.look()
            with pytest.raises(ModelNotFound):
                await models.invoke("a", _CALL)
            with pytest.raises(ModelNotFound):
                await models.unregister("a")

    asyncio.run(run())


def test_what_cannot_be_loaded_is_not_registered(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            models = RegisteredModels(here.store, here.host, lambda: here.follower.directory)
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
            models = RegisteredModels(here.store, here.host, lambda: here.follower.directory)
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
