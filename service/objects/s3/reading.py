"""An object of an S3 server that is being read, forward as one stream and elsewhere as it is asked for."""

from typing import Any, Final

from service.errors import ObjectUnreadable
from service.object_settings import S3Server
from service.objects.objects import StoredObject
from service.objects.s3.client import ServerRefused, ServerSilent, client_of, told, worded

_LEAST_WINDOW: Final = 1 << 20  # asked for at once: twice as much each time that it was read to its end
_MOST_WINDOW: Final = 64 << 20
_TRIES: Final = 4
_REPLACED: Final = frozenset({"PreconditionFailed", "412"})


class ObjectOfServer:
    """Implements ObjectReader: reading fails once another object has the key. For one thread at a time."""

    def __init__(self, server: S3Server, bucket: str, address: str, found: StoredObject) -> None:
        self.size_bytes = found.size_bytes
        self.version = found.version
        self._server = server
        self._address = address
        self._asked = {"Bucket": bucket, "Key": found.key, "IfMatch": f'"{found.version}"'}
        self._body: Any = None
        self._at = self._until = 0
        self._window = _LEAST_WINDOW

    def read(self, start: int, size: int) -> bytes:
        """So many bytes, sent anew where the connection breaks off. Raises ObjectUnreadable."""
        end = min(start + size, self.size_bytes)
        if start >= end:
            return b""
        for _ in range(_TRIES - 1):
            try:
                with told():
                    return self._read(start, end)
            except ServerSilent:
                self.close()
            except ServerRefused as refused:
                if refused.code in _REPLACED or refused.is_absent:
                    raise ObjectUnreadable(self._address, "another one has come in its place") from refused
                break
        with worded(self._address, self._server):
            return self._read(start, end)

    def close(self) -> None:
        """Ask for no more of what was begun."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def _read(self, start: int, end: int) -> bytes:
        if self._body is not None and start != self._at:
            self.close()
            self._window = _LEAST_WINDOW
        self._at = start
        found = []
        while self._at < end:
            if self._body is None or self._at == self._until:
                self._ask(max(end, self._at + self._window))
            data = self._body.read(min(end, self._until) - self._at)
            if not data:
                raise ServerSilent("the server broke off")
            found.append(data)
            self._at += len(data)
        return found[0] if len(found) == 1 else b"".join(found)

    def _ask(self, until: int) -> None:
        self.close()
        self._until = min(until, self.size_bytes)
        span = f"bytes={self._at}-{self._until - 1}"
        self._body = client_of(self._server).get_object(**self._asked, Range=span)["Body"]
        self._window = min(2 * self._window, _MOST_WINDOW)
