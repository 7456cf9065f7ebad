"""Models that were registered by name, as the multi-model container contract does it (contract A.7).

The names are facts in the store, so that every gateway knows them; each gateway loads what it is called for.
Their calls are invocations as any other: the directory has a route to each.
"""

import asyncio

from service.domain.endpoint import ModelSource
from service.errors import BadPayload, ModelFault, ModelNotFound
from service.hosting.host import Host
from service.store.store import REGISTERED_MODELS, Store

_MAX_NAME_CHARS = 1024


class RegisteredModels:
    """The registered models as one gateway sees them."""

    def __init__(self, store: Store, host: Host) -> None:
        self._store = store
        self._host = host

    def names(self) -> dict[str, str]:
        """Name -> where the model is, from the store: a registration counts everywhere at once."""
        return self._store.fact(REGISTERED_MODELS) or {}

    async def register(self, name: str, url: str) -> None:
        """Load a model and remember its name.

        Raises:
            ModelFault: 409 the name is taken, 404 nothing there, 507 it does not fit, 500 it does not load.
        """
        if len(name) > _MAX_NAME_CHARS:
            raise BadPayload(f"model_name has more than {_MAX_NAME_CHARS} characters.")
        if name in await asyncio.to_thread(self.names):
            raise ModelFault(f"Model {name} is already registered.", status=409)
        await self._host.warm_up(ModelSource(url))
        if not await asyncio.to_thread(self._remember, name, url):
            raise ModelFault(f"Model {name} is already registered.", status=409)

    async def unregister(self, name: str) -> None:
        """Forget a name; every gateway unloads its model once nobody uses it. Raises ModelNotFound."""
        url = await asyncio.to_thread(self._forget, name)
        if url is None:
            raise ModelNotFound(f"Model not found: {name}")
        self._host.let_go(ModelSource(url))

    def _remember(self, name: str, url: str) -> bool:
        with self._store.change() as change:
            known = change.fact(REGISTERED_MODELS) or {}
            if name in known:
                return False
            change.put_fact(REGISTERED_MODELS, {**known, name: url})
            return True

    def _forget(self, name: str) -> str | None:
        with self._store.change() as change:
            known: dict[str, str] = dict(change.fact(REGISTERED_MODELS) or {})
            url = known.pop(name, None)
            if url is not None:
                change.put_fact(REGISTERED_MODELS, known)
            return url
