"""Keeps a process's counts written, again and again, as long as it lives."""

import asyncio

from service.log import Trouble, get_logger
from service.observe.counts import Registry

_FLUSH_S = 0.5


async def keep_flushed(registry: Registry) -> None:
    """Write the counts twice a second until cancelled; where they cannot be written, this is said once."""
    trouble = Trouble(get_logger("sagebird.gateway"), "metrics not written")
    while True:
        await asyncio.sleep(_FLUSH_S)
        try:
            await asyncio.to_thread(registry.flush)
            trouble.end()
        except OSError as error:
            trouble.meet(str(error))
