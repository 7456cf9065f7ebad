"""Ids of requests, as replies and log lines name them: one source of them, for every face."""

import random
from collections.abc import Callable
from itertools import count

_LAST_BITS, _STEP = 47, 0x1E37_79B9_7F4B
_VERSION = 0x4000_8000_0000_0000_0000
_MASK = ~0xF000_C000_0000_0000_0000


def request_ids() -> Callable[[], str]:
    """What gives a new id at each call: a UUID (version 4) as text, from whatever thread. It keeps no secret.

    The ids of one source differ in their last twelve digits only, which costs a tenth of `str(uuid4())`. Make
    one in the process that uses it: forked processes would give the same ids.
    """
    # Python seeds these from the operating system, and anew in every process that is forked.
    digits = f"{random.getrandbits(128) & _MASK | _VERSION:032x}"
    common = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-"
    # An odd step comes by every number; a count goes on in one step, which no other thread comes between.
    numbers, every = count(random.getrandbits(_LAST_BITS), _STEP), (1 << _LAST_BITS) - 1
    first = 1 << _LAST_BITS  # always set: all have twelve digits, and none needs filling up

    def new_id() -> str:
        return common + "%x" % (next(numbers) & every | first)

    return new_id
