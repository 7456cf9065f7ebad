"""What the model cache keeps of loads under way, and of those that wait for memory."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from service.errors import ModelFailure, ModelTooLarge
from service.hosting.cache.entry import Entry
from service.hosting.cache.source import Prepared
from service.hosting.host import Model

_Prepared = TypeVar("_Prepared")


class Load:
    """A load under way and how many calls wait for it; each of them gets the entry already pinned.

    Once `stale`, its model was dropped before it was there: it serves those who wait for it and nobody else.
    """

    __slots__ = ("stale", "task", "waiters")

    def __init__(self, task: "asyncio.Task[Entry]") -> None:
        self.task = task
        self.waiters = 0
        self.stale = False

    @property
    def entry(self) -> Entry | None:
        """What was loaded; None before the end and after a failure."""
        done = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result() if done else None


@dataclass(slots=True)
class Ticket:
    """A load that needs so much memory, and the moment when it is granted."""

    need_bytes: int
    granted: asyncio.Future[None]


def retrieve(task: "asyncio.Task[Any]") -> None:
    """Look at an outcome, so that asyncio does not report a failure that nobody waited for any more."""
    if not task.cancelled():
        task.exception()


def load_into(box: list[Model], prepared: Prepared) -> None:
    """Load a model into a box, so that it is no thread's result: the thread would cling to it for a while."""
    box.append(prepared.load())


async def fetched(preparing: Awaitable[_Prepared], most_s: float | None, name: str) -> _Prepared:
    """What comes of fetching and unpacking a model, for which there is so much time, None: any.

    Raises ModelFailure where it is over; a thread that is at it goes on, and what it makes is found later.
    """
    try:
        async with asyncio.timeout(most_s) as limit:
            return await preparing
    except TimeoutError:
        if not limit.expired():
            raise
        raise ModelFailure(
            f"Model {name} was not fetched and unpacked within {most_s:g} seconds, which "
            "ModelDataDownloadTimeoutInSeconds of its variant allows."
        ) from None


def too_large(need_bytes: int, budget_bytes: int, kept_bytes: int) -> ModelTooLarge:
    """For a load that never gets its memory, of which pinned models keep a part."""
    kept = f", of which pinned models hold {_megabytes(kept_bytes)}" if kept_bytes else ""
    return ModelTooLarge(
        f"The model needs {_megabytes(need_bytes)}, but the models of one gateway process may hold "
        f"{_megabytes(budget_bytes)}{kept}: raise SAGEBIRD_MODEL_MEMORY (it is shared out among the "
        "gateways) or lower SAGEBIRD_GATEWAYS."
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
