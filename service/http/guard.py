"""Who may ask what: the hosts that this server answers for, and the web pages that may call it.

A browser runs pages of strangers beside this server's own. Three things keep them out. A page can have its
own name point here (DNS rebinding), but not have the browser send another Host: so only known hosts are
served. A page of another origin is told by the browser's Origin and Sec-Fetch-Site: it may ask for
predictions where a setting allows it, report what came of them, read what an endpoint takes and gives, as
forms need it, and nothing else. And what a form can send, and any page with it, changes nothing. None of this
keeps programs out: whoever reaches the port with one is free anyway.
"""

import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from service.errors import AccessDenied
from service.http.asgi import Headers
from service.origins import (
    ANY,
    host_name,
    is_loopback,
    is_unspecified,
    read_ip,
    same_place,
)
from service.settings import Settings

_KNOWN = 1024
_MOST_CHARS = 512  # of a header that is remembered or quoted
_SAFE = ("GET", "HEAD")
_FORM_TYPES = frozenset(
    {b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"}
)  # Source: the Fetch standard, "CORS-safelisted request-header"
_EXPOSED = (
    "x-amzn-RequestId",
    "x-amzn-ErrorType",
    "x-Amzn-Invoked-Production-Variant",
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
    "Retry-After",
    "X-Amzn-SageMaker-Inference-Id",
)
_SCRIPT = "/client.js"  # by which a page asks for predictions
_OF_PEOPLE = ("/experiment", "/promote")  # what is asked of an endpoint and is no prediction
_ONE_DAY_S = 86_400


class CallerHeaders(NamedTuple):
    """What a request says of where it comes from; each header is None where it is not sent."""

    host: bytes | None
    origin: bytes | None
    site: bytes | None  # Sec-Fetch-Site
    content_type: bytes | None
    encoding: bytes | None  # Content-Encoding
    names_target: bool  # X-Amz-Target: without it POST / changes nothing
    preflight: bytes | None  # the method that a page asks leave for
    wanted: bytes  # the headers that it asks leave for
    private: bool  # it asks to reach from a public network into a private one
    is_signed: bool = False  # or says otherwise who sends it, as no browser does unasked


class Guard:
    """The judge of requests. It keeps nothing but the last names that it was asked about."""

    def __init__(
        self,
        bound: str,
        names: Sequence[str] = (),
        origins: Sequence[str] = (),
        *,
        own_names: Sequence[str] = (),
    ) -> None:
        """For a server that listens on the address or name `bound`.

        `names` are the hosts and `origins` the pages that settings allow, each as service/origins.py writes
        them; `own_names` are those of this machine, which count where it can be reached from others.
        """
        self._everywhere = is_unspecified(bound)
        reached = () if is_loopback(bound.lower()) else (bound, *own_names)
        self._names = frozenset(names) | {_one_form(name) for name in reached}
        self._below = tuple(name[1:] for name in names if name.startswith("*."))
        self._any_host = ANY in names
        self._origins = frozenset(origins)
        self.serves = lru_cache(_KNOWN)(self._serves)
        self._is_own = lru_cache(_KNOWN)(self._came_from_here)

    def check_host(self, headers: Headers) -> None:
        """Raise AccessDenied for a host that is not served; without any it is no browser that asks."""
        if self._any_host:
            return
        for name, value in headers:
            if name == b"host" and (len(value) > _MOST_CHARS or not self.serves(value)):
                raise AccessDenied(_wrong_host(value))

    def check(self, method: str, path: str, asked: CallerHeaders) -> str | None:
        """The origin that the answer must be opened for, if any.

        Raises:
            AccessDenied: this may not be asked from there.
        """
        predicts = is_prediction(path) or path == _SCRIPT
        foreign = asked.origin is not None or asked.site in (b"cross-site", b"same-site")
        if foreign and not self._is_own(*_bounded(asked.origin, asked.site, asked.host)):
            return self._check_foreign(method, path, asked, predicts)
        if method == "POST" and _is_form(asked.content_type) and _changes(path, asked):
            raise AccessDenied(_form(asked.content_type or b""))
        return None

    def check_signed(self, method: str, path: str, asked: CallerHeaders) -> None:
        """The same for what is signed for a service that no page may call, whatever its path looks like.

        Raises:
            AccessDenied: this may not be asked from there.
        """
        if asked.is_signed:  # no form can send that, so that its type says nothing
            asked = asked._replace(content_type=None)
        self.check(method, f"/{path}", asked)

    def _check_foreign(self, method: str, path: str, asked: CallerHeaders, predicts: bool) -> str | None:
        if asked.origin is None:
            if method in _SAFE:
                return (
                    None  # a link that was followed, or a picture: nothing changes, and nothing can be read
                )
            raise AccessDenied(_wrong_page("another site", path, predicts))
        origin = _text(asked.origin)
        method = _text(asked.preflight) if method == "OPTIONS" and asked.preflight else method
        allowed = ANY in self._origins or origin.lower() in self._origins
        if not (allowed and predicts and method in ("POST", *_SAFE)):
            raise AccessDenied(_wrong_page(origin, path, predicts, allowed))
        return ANY if ANY in self._origins else origin

    def _serves(self, header: bytes) -> bool:
        name = host_name(header.decode("latin-1"))
        if name is None:
            return False
        return (
            is_loopback(name)
            or name in self._names
            or name.endswith(self._below)
            or (self._everywhere and read_ip(name) is not None)
        )

    @staticmethod
    def _came_from_here(origin: bytes | None, site: bytes | None, host: bytes | None) -> bool:
        """Whether a page is one of ours; the browser's own word counts more than what its names look like."""
        if site is not None and site != b"none":
            return site == b"same-origin"
        return origin is not None and host is not None and same_place(_text(origin), _text(host))


def guard_of(settings: Settings, *, contains: bool = False) -> Guard:
    """The guard that settings ask for.

    SageMaker calls its containers by names of its own, on a network without browsers. So one that `contains`
    a model and listens on every address, as SageMaker starts it, serves any host unless a setting says which.
    """
    names = settings.allowed_hosts
    if contains and not names and is_unspecified(settings.host):
        names = (ANY,)
    return Guard(settings.host, names, settings.cors_origins, own_names=(socket.gethostname(),))


def read_asked(headers: Headers) -> CallerHeaders:
    """What the headers of a request (lower-case names) say of where it comes from."""
    get = dict(headers).get
    return CallerHeaders(
        get(b"host"),
        get(b"origin"),
        get(b"sec-fetch-site"),
        get(b"content-type"),
        get(b"content-encoding"),
        get(b"x-amz-target") is not None,
        get(b"access-control-request-method"),
        get(b"access-control-request-headers", b""),
        get(b"access-control-request-private-network") == b"true",
        is_deliberate(get(b"authorization", b"")),
    )


def is_deliberate(authorization: bytes) -> bool:
    """Whether a program put this header there; browsers send `Basic` and its kin for whichever page asks."""
    return authorization[:7].lower().startswith((b"aws", b"bearer "))


def is_prediction(path: str) -> bool:
    """Whether what is asked below a path is answered by a model and changes nothing, or is part of asking.

    Outcomes are, and what an endpoint says of itself.
    """
    if path.startswith("/endpoints/"):
        return not path.endswith(_OF_PEOPLE)
    if path == "/invocations":
        return True
    return path.startswith("/models/") and path.endswith("/invoke")


def opened(origin: str) -> Headers:
    """The headers by which a page of this origin, `*` being any, may read an answer; without cookies."""
    headers: Headers = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", ", ".join(_EXPOSED).encode("ascii")),
    ]
    return headers if origin == ANY else [*headers, (b"vary", b"Origin")]


def leave(origin: str, asked: CallerHeaders) -> Headers:
    """The headers that answer a preflight: which call a page of this origin may make."""
    headers = [header for header in opened(origin) if header[0] != b"access-control-expose-headers"]
    headers += [
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-max-age", b"%d" % _ONE_DAY_S),
    ]
    if asked.wanted:
        headers.append((b"access-control-allow-headers", asked.wanted))
    if asked.private:
        headers.append((b"access-control-allow-private-network", b"true"))
    return headers


def _changes(path: str, asked: CallerHeaders) -> bool:
    """Whether a POST may change something; the control plane without a target does nothing but say so."""
    return asked.names_target if path == "/" else not is_prediction(path)


def _is_form(content_type: bytes | None) -> bool:
    """Whether a page could have sent such a body without asking."""
    return (content_type or b"").partition(b";")[0].strip().lower() in _FORM_TYPES


def _one_form(name: str) -> str:
    """A name or an address of this machine as `host_name` has those of requests."""
    return str(read_ip(name) or name).lower()


def _bounded(*values: bytes | None) -> tuple[bytes | None, ...]:
    return tuple(value if value is None else value[:_MOST_CHARS] for value in values)


def _text(value: bytes) -> str:
    return value[:_MOST_CHARS].decode("latin-1")


def _wrong_host(header: bytes) -> str:
    return (
        f"This server is not called {_shown(header)}: it answers for localhost, for the address that it "
        "listens on, and for names that SAGEBIRD_ALLOWED_HOSTS lists."
    )


def _wrong_page(origin: str, path: str, predicts: bool, allowed: bool = False) -> str:
    shown = _shown(origin.encode("latin-1"))
    if predicts and not allowed and origin == "null":
        return (
            "Pages that are opened from a file, and others that hide where they come from (origin null), may "
            "not ask for predictions: serve the page (python3 -m http.server 3000) and list "
            "http://localhost:3000 in SAGEBIRD_CORS_ORIGINS, or allow * there."
        )
    if predicts and not allowed:
        return (
            f"Pages of {shown} may not ask for predictions: list their origin in SAGEBIRD_CORS_ORIGINS, "
            "as http://localhost:3000."
        )
    if predicts:
        return f"Pages of {shown} ask for predictions by POST only."
    return (
        f"Pages of {shown} may not call {_shown(path.encode('utf-8', 'replace'))}: SAGEBIRD_CORS_ORIGINS "
        "opens predictions, their outcomes and descriptions of endpoints to other origins, and nothing else."
    )


def _form(content_type: bytes) -> str:
    return (
        f"A body of the type {_shown(content_type)} changes nothing here, because every web page can send "
        "one: add the header Content-Type: application/json (AWS's clients send application/x-amz-json-1.1)."
    )


def _shown(value: bytes) -> str:
    """A header's value as it may stand in a sentence."""
    text = value[:100].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text) or "''"
