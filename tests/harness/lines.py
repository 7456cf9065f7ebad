"""Calls of a container's line, awaited one by one."""

import asyncio

from service.hosting.containers.line import CallLine
from service.hosting.host import Answer, Call
from service.hosting.stopwatch import Stopwatch
from service.promise import Promise


async def ask(line: CallLine, call: Call) -> Answer:
    """What comes of one call; who cancels this gives it up."""
    promise: Promise[Answer] = Promise()
    asked = line.begin(call, promise.keep, Stopwatch())
    try:
        return await promise
    except asyncio.CancelledError:
        asked.give_up()
        raise
