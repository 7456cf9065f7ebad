"""For which user a request is, as its headers say: a header of its own, or one of the cookies."""

from collections.abc import Callable

from service.http.asgi import Headers
from service.settings import COOKIE, USER_HEADER

ReadUser = Callable[[Headers], bytes | None]
"""Whom headers (lower-case names) name; None if nobody."""


def users_by(setting: str = USER_HEADER) -> ReadUser:
    """Reads what SAGEBIRD_USER_HEADER names."""
    if setting.lower().startswith(COOKIE):
        return _by_cookie(setting[len(COOKIE) :].encode("latin-1"))
    return _by_header(setting.lower().encode("latin-1"))


def _by_header(wanted: bytes) -> ReadUser:
    def read(headers: Headers) -> bytes | None:
        for name, value in headers:
            if name == wanted:
                return value.strip() or None
        return None

    return read


def _by_cookie(wanted: bytes) -> ReadUser:
    def read(headers: Headers) -> bytes | None:
        for name, value in headers:
            if name == b"cookie":
                for cookie in value.split(b";"):
                    key, _, user = cookie.strip().partition(b"=")
                    if key == wanted and user:
                        return user
        return None

    return read
