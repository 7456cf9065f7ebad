"""The experiments of endpoints for who looks from a thread: who keeps them answers on the event loop."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from http import HTTPStatus
from typing import Any, Final

import orjson

from service.faces.people.experiments import Experiments

_PATIENCE_S: Final = 2.0
_MOST_KNOWN: Final = 200

Document = Mapping[str, Any]
"""An experiment as docs/reference/experiments.md describes it."""


class Verdicts:
    """Asks for them one after the other, and has the last ones where nobody answers."""

    def __init__(self, experiments: Experiments) -> None:
        """Must be called on the event loop."""
        self._experiments = experiments
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, Document] = {}

    def look(self, endpoints: Sequence[str]) -> Mapping[str, Document]:
        """Those of endpoints that have one. Blocks, a moment; not to be called on the event loop."""
        found: dict[str, Document] = {}
        asking = asyncio.run_coroutine_threadsafe(self._ask(endpoints, found), self._loop)
        try:
            asking.result(_PATIENCE_S)
        except (TimeoutError, CancelledError):  # the process that answers is away, or this one leaves
            asking.cancel()
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update(found)
        return {name: self._known[name] for name in endpoints if name in self._known}

    async def _ask(self, endpoints: Sequence[str], found: dict[str, Document]) -> None:
        for name in endpoints:
            reply = await self._experiments.experiment(name, {})
            if reply.status == HTTPStatus.OK:
                found[name] = orjson.loads(reply.body)
            elif reply.status == HTTPStatus.NOT_FOUND:
                self._known.pop(name, None)
