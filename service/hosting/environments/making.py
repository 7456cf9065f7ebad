"""Environments that models of one process wait for: each asked for once, without a thread for each model."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from typing import Final

from service.errors import ModelFault
from service.hosting.environments.asked import EnvironmentSpec
from service.hosting.environments.environments import Environments
from service.hosting.environments.installer import Tell

_MOST_AT_ONCE: Final = 4


@dataclass(slots=True)
class _UnderWay:
    """One that is being made, and who is told how that goes."""

    tells: list[Tell] = field(default_factory=list)
    heard: str = "it waits for its environment"

    def hear(self, note: str) -> None:
        """Pass a note on; from any thread."""
        self.heard = note
        for tell in list(self.tells):
            tell(note)


class Making:
    """For one event loop."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._threads = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="environment")
        self._under_way: dict[object, tuple[_UnderWay, asyncio.Future[str]]] = {}

    async def wait_for(self, asked: EnvironmentSpec, tell: Tell) -> None:
        """Wait until an environment is there; `tell` is told how that goes. Raises ModelFailure."""
        if asked.key not in self._under_way:
            self._begin(asked)
        under_way, end = self._under_way[asked.key]
        under_way.tells.append(tell)
        tell(under_way.heard)
        try:
            await asyncio.wait((end,))
        finally:
            under_way.tells.remove(tell)
        fault = end.exception()
        if isinstance(fault, ModelFault):
            raise copy(fault)  # of each who waits its own
        end.result()

    def close(self) -> None:
        """Wait for none any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, asked: EnvironmentSpec) -> None:
        under_way = _UnderWay()
        loop = asyncio.get_running_loop()
        end = loop.run_in_executor(self._threads, self._environments.python_for, asked, under_way.hear)
        self._under_way[asked.key] = under_way, end
        end.add_done_callback(lambda _end: self._under_way.pop(asked.key))
