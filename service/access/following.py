"""Keeps a keyring in step with what the store holds; what was remembered of requests is forgotten then."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from service.access.key_file import KeyFile
from service.access.keyring import Keyring
from service.domain.access_keys import CODEC, AccessKey
from service.errors import StateDamaged
from service.http.remembered import Epoch
from service.log import get_logger

_LONGEST_WAIT_S = 30.0  # the date may be set anew meanwhile
_JUST_AFTER_S = 0.01


class Loop(Protocol):
    """As much of an event loop as is needed."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any:
        """Call something later."""
        ...


class KeyFollower:
    """Told what the store holds; called on the event loop alone."""

    def __init__(self, keyring: Keyring, key_file: KeyFile, epoch: Epoch, loop: Loop) -> None:
        """What is remembered for an `epoch` is forgotten whenever a key comes, goes or expires."""
        self._keyring = keyring
        self._key_file = key_file
        self._epoch = epoch
        self._loop = loop
        self._timer: Any = None
        self._documents: object = None
        self._log = get_logger("sagebird.keys")

    def follow(self, documents: object) -> None:
        """Have the keys that the store holds, by their ids; what cannot be read lets nobody in."""
        if documents != self._documents:
            self._documents = documents
            self._keyring.replace(list(self._read(documents)))
            self._change()

    def _change(self) -> None:
        self._epoch.move()
        self._await_expiry()

    def _await_expiry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_s = self._keyring.now_s()
        ends = [key.expires_at for key in self._keyring.all() if key.expires_at is not None]
        next_s = min((end for end in ends if end > now_s), default=math.inf)
        if next_s < math.inf:
            wait_s = min(next_s - now_s + _JUST_AFTER_S, _LONGEST_WAIT_S)
            self._timer = self._loop.call_later(wait_s, self._change)

    def _read(self, documents: object) -> Iterator[AccessKey]:
        if not isinstance(documents, Mapping):
            self._log.error("access keys cannot be read, nobody has one", found=type(documents).__name__)
            return
        for key_id, document in documents.items():
            try:
                key = CODEC.read(document)
            except (StateDamaged, TypeError, AttributeError) as error:
                self._log.error(
                    "access key cannot be read, nobody has it", key=str(key_id), reason=str(error)
                )
                continue
            if key.sealed_by != self._key_file.fingerprint and not key.is_revoked:
                self._log.warning(
                    "access key was made with another key file: signatures by it do not match",
                    key=key.id,
                    name=key.name,
                )
            yield key
