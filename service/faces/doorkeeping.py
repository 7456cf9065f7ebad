"""Who says which callers come in, made from the settings, with what moves when he changes his mind."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from service.access.following import KeyFollower
from service.access.key_file import open_key_file
from service.access.keyring import Keyring
from service.domain.caller import Caller
from service.faces.identity import Doorkeeper, OpenDoor
from service.faces.keyed import KeyedDoor
from service.faces.limits import RateLimits
from service.http.remembered import Epoch
from service.settings import Settings


class KeptDoor(NamedTuple):
    """A doorkeeper, the epoch that his word is good for, and who is to be told what keys there are."""

    doorkeeper: Doorkeeper
    epoch: Epoch
    follow_keys: Callable[[object], None] | None = None


def keep_door(settings: Settings, caller: Caller, limits: RateLimits) -> KeptDoor:
    """As the settings ask for it; who needs no key is `caller`. Must be called on the event loop.

    Raises:
        StartupError: there has to be a key file, and it cannot be read.
    """
    epoch = Epoch()
    if settings.auth != "keys":
        return KeptDoor(OpenDoor(lambda _headers: caller), epoch)
    key_file = open_key_file(settings.keys_secret)
    keyring = Keyring(key_file, time.time)
    follower = KeyFollower(keyring, key_file, epoch, asyncio.get_running_loop())
    return KeptDoor(KeyedDoor(keyring, caller, limits), epoch, follower.follow)
