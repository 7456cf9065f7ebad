"""Keeps what a process counts and remembers written, again and again, as long as it lives."""

import asyncio
from collections.abc import Callable

from service.log import Trouble, get_logger

_FLUSH_S = 0.5


async def keep_flushed(*writers: Callable[[], object]) -> None:
    """Have all of them write twice a second until cancelled; where they cannot, this is said once."""
    trouble = Trouble(get_logger("sagebird.gateway"), "metrics not written")
    while True:
        await asyncio.sleep(_FLUSH_S)
        try:
            for write in writers:
                await asyncio.to_thread(write)
            trouble.end()
        except OSError as error:
            trouble.meet(str(error))
