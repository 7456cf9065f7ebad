"""The front door: predictions go straight to their face, the rest to the pages. No framework in between."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from service.access.claims import AskedHead
from service.access.permissions import needed_at_objects
from service.domain.caller import Caller
from service.errors import AccessDenied, CallerError
from service.faces.aws.denial import deny
from service.faces.aws.strangers import stranger
from service.faces.identity import PASSAGE, Admitted, Doorkeeper, Passage, Take
from service.faces.limits import RateLimits, both, counted, counting, proven_and_counted, within
from service.faces.proofs import before, while_read
from service.http.asgi import App, Headers, Receive, Scope, Send, send_reply
from service.http.browsers import for_browsers, with_headers
from service.http.encodings import unpacked
from service.http.guard import CallerHeaders, Guard, is_prediction, leave, opened, read_asked
from service.http.remembered import Epoch, Remembered
from service.http.reply import Answered, Answering, Preparing
from service.http.request_ids import request_ids
from service.wire.protocols.cbor import read_path
from service.wire.services import ACTIONS

_ENDPOINTS = b"/endpoints/"
_INVOCATIONS = b"/invocations"
_EXPERIMENTS = ("/outcomes", "/experiment", "/promote")  # of an endpoint, and no operation of AWS
_KNOWN_TARGETS = 4096
_KNOWN_PASSAGES = 1024
_KNOWN_BYTES = 1 << 20
_MOST_HEAD_BYTES = 4096
_PLAIN_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")

NOBODY = Caller("000000000000", "us-east-1", "nobody", "")
"""Who asks before anybody has to say who he is."""

_PreparingFor = Callable[[Caller, Headers], Answering]
"""As `Preparing`, for requests of one caller."""


class Gateway:
    """The ASGI application of one gateway process."""

    def __init__(
        self,
        runtime: App,
        invocations: App,
        control: App,
        pages: App,
        guard: Guard,
        doorkeeper: Doorkeeper,
        max_body_bytes: int,
        *,
        prepare_endpoint: Callable[[str, Caller, Headers], Answering] | None = None,
        prepare_default: _PreparingFor | None = None,
        epoch: Epoch | None = None,
        follow_keys: Callable[[object], None] | None = None,
        limits: RateLimits | None = None,
        s3: App | None = None,
    ) -> None:
        """Take the faces, and who say which requests may reach them, and whose they are.

        `runtime` has what is below /endpoints/, `invocations` has POST /invocations, `control` has POST / and
        `pages` the rest, other methods of the first two included; `s3` has what is signed for S3, whatever
        its path, and its bodies as they come. `max_body_bytes` is for compressed bodies
        as they come; each face has a limit of its own for what it reads. `prepare_endpoint`, which takes the
        endpoint's name first, and `prepare_default` are the hot ways into the first two. What was found out
        of a head is good for one `epoch`. `follow_keys` is to be told the keys that the store holds, where
        the doorkeeper goes by keys. `limits` count the requests to endpoints that have rates.
        """
        self._limits = limits
        self.follow_keys = follow_keys
        self.epoch = Epoch() if epoch is None else epoch
        self.draining = False
        self._guard = guard
        self._doorkeeper = doorkeeper
        self._new_id = request_ids()
        self._max_body_bytes = max_body_bytes
        self._prepare_endpoint = prepare_endpoint
        self._prepare_default = prepare_default
        self._known = Remembered[bytes, Preparing](_KNOWN_TARGETS, _KNOWN_BYTES)
        self._passages = Remembered[tuple[Any, ...], Passage](_KNOWN_PASSAGES, _KNOWN_BYTES)
        self.epoch.holds(self._passages)
        self._runtime = runtime
        self._invocations = invocations
        self._control = control
        self._s3 = s3
        self._pages = for_browsers(pages)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on. While draining, each answer tells its client to connect anew, elsewhere."""
        if self.draining:
            send = with_headers(send, [(b"connection", b"close")])
        if _has_slash_too_many(scope["path"]):
            scope = {**scope, "path": scope["path"][:-1]}
        head = (scope["method"], scope["path"], scope.get("query_string", b""), *scope["headers"])
        passage = self._passages.find(head)
        if passage is None:
            try:
                passage = self._judge(scope)
            except CallerError as error:
                return self._deny(send, error, scope)
            if passage.lasts:
                self._remember(head, passage)
        scope[PASSAGE] = passage
        return passage.face(scope, receive, send)

    def _judge(self, scope: Scope) -> Passage:
        """What a head leads to, which depends on nothing else. Raises: CallerError."""
        method, path, headers = scope["method"], scope["path"], scope["headers"]
        asked = read_asked(headers)
        self._guard.check_host(headers)
        elsewhere, origin = stranger(scope, self._new_id, self._s3), None
        need = needed_at_objects(method) if elsewhere is not None and elsewhere is self._s3 else None
        if need is not None:
            self._guard.check_signed(method, path, asked)
        elif elsewhere is None:
            origin = self._guard.check(method, path, asked)
        if origin is not None and method == "OPTIONS" and asked.preflight is not None:
            return Passage(NOBODY, _giving_leave(origin, asked))  # browsers send no key with a preflight
        query, raw_path = scope.get("query_string", b""), scope.get("raw_path", path.encode())
        try:
            admitted = self._doorkeeper.admit(AskedHead(method, path, raw_path, query, headers), need)
        except CallerError as error:
            face = stranger(scope, self._new_id, error=error) or self._denying(error)
            return Passage(NOBODY, face if origin is None else _opening(origin, face), lasts=False)
        if elsewhere is not None:
            away = partial(self._away, admitted, elsewhere, scope)
            face = _within(admitted, _around(admitted, away, admitted.take), in_chunks=elsewhere is self._s3)
            return Passage(admitted.caller, face, lasts=admitted.lasts)
        own = None if self._limits is None else self._limits.of_path(method, path)
        proven = partial(self._proven, admitted, self._face(method, path), asked.encoding)
        face = _around(admitted, proven, both(admitted.take, own))
        face = _within(admitted, face, packed=asked.encoding is not None)
        face = face if origin is None else _opening(origin, face)
        return Passage(admitted.caller, face, lasts=admitted.lasts, is_good=admitted.is_good)

    def _away(self, admitted: Admitted, face: App, scope: Scope, take: Take | None) -> App:
        """The face of another service, which words refusals itself and reads bodies before it acts."""
        if admitted.refusal is not None:
            face = stranger(scope, self._new_id, error=admitted.refusal) or face
        proof = admitted.proof
        if proof is None:
            return face if take is None else counting(take, face, self._denying)
        return while_read(proof if take is None else proven_and_counted(proof, take), face)

    def _proven(self, admitted: Admitted, face: App, encoding: bytes | None, take: Take | None) -> App:
        """A face that gets bodies unpacked, and of those that are signed no others than were signed.

        Requests are counted once they are proven: nobody uses up what is somebody else's.
        """
        acts_early = face is self._pages or admitted.refusal is not None
        if admitted.refusal is not None:
            face = self._denying(admitted.refusal)
        elif encoding is not None:
            face = self._unpacking(encoding, _within(admitted, face))
        proof = admitted.proof
        if proof is None:
            return face if take is None else counting(take, face, self._denying)
        if take is not None:
            proof = proven_and_counted(proof, take)
        if acts_early:
            return before(proof, face, self._max_body_bytes, self._denying)
        return while_read(proof, face)

    def _denying(self, error: CallerError) -> App:
        def refuse(scope: Scope, _receive: Receive, send: Send) -> Awaitable[None]:
            return self._deny(send, error, scope)

        return refuse

    def _remember(self, head: tuple[Any, ...], passage: Passage) -> None:
        """Keep what the head of a prediction leads to; what is signed holds the time, and comes once."""
        method, path, query, *headers = head
        if method != "POST" or not is_prediction(path):
            return
        size = len(path) + len(query) + sum(len(name) + len(value) for name, value in headers)
        if size <= _MOST_HEAD_BYTES and all(name != b"authorization" for name, _ in headers):
            self._passages.keep(head, passage, size)

    def _unpacking(self, encoding: bytes, face: App) -> App:
        def unpack(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            try:
                scope, receive = unpacked(encoding, scope, receive, self._max_body_bytes)
            except CallerError as error:
                return self._deny(send, error, scope)
            return face(scope, receive, send)

        return unpack

    def _face(self, method: str, path: str) -> App:
        if path.startswith("/endpoints/") and path.endswith(_EXPERIMENTS):
            return self._pages
        if path.startswith("/endpoints/"):
            asks = method == "POST" or not (path.endswith(ACTIONS) or _is_description(method, path))
            return self._runtime if asks else self._pages
        if method == "POST" and path == "/invocations":
            return self._invocations
        return self._control if method == "POST" and (path == "/" or read_path(path)) else self._pages

    def prepares(self, target: bytes) -> Preparing | None:
        """Who answers `POST target` without ASGI, if anybody; targets that need decoding are left to ASGI."""
        known = self._known.find(target)
        if known is None:
            known = self._prepares(target)
            if known is not None:
                self._known.keep(target, known, len(target))
        return known

    def _prepares(self, target: bytes) -> Preparing | None:
        if target == _INVOCATIONS:
            prepare = self._prepare_default
            return None if prepare is None else partial(self._prepare, prepare, "/invocations")
        inside = target.startswith(_ENDPOINTS) and target.endswith(_INVOCATIONS)
        name = target[len(_ENDPOINTS) : -len(_INVOCATIONS)] if inside else b""
        if self._prepare_endpoint is None or not _PLAIN_NAME.issuperset(name) or not name:
            return None
        prepare = partial(self._prepare_endpoint, name.decode("ascii"))
        return partial(self._prepare, prepare, target.decode("ascii"))

    def _prepare(self, prepare: _PreparingFor, path: str, headers: Headers) -> Answering:
        """As `prepare`, for hosts that are served.

        Whoever remembers a head remembers its Host with it, and whose it is.
        """

        def denied(error: CallerError) -> Answering:
            return Answering((error, path, headers), self._deny_all)

        try:
            self._guard.check_host(headers)
        except AccessDenied as error:
            return denied(error)
        take = None if self._limits is None else self._limits.of_path("POST", path)

        def make(caller: Caller) -> Answering:
            return counted(prepare(caller, headers), take, None, denied)

        return self._doorkeeper.prepare(path, headers, make, denied)

    def _deny_all(
        self, asked: Sequence[tuple[tuple[CallerError, str, Headers], Sequence[bytes]]]
    ) -> list[list[Answered]]:
        return [
            [deny(error, "POST", path, headers, self._new_id()) for _ in bodies]
            for (error, path, headers), bodies in asked
        ]

    async def _deny(self, send: Send, error: CallerError, scope: Scope) -> None:
        reply = deny(error, scope["method"], scope["path"], scope["headers"], self._new_id())
        await send_reply(send, reply.status, reply.headers, reply.body)


def _around(admitted: Admitted, make: Callable[[Take | None], App], take: Take | None) -> App:
    """The face that is made of what counts its requests; anew for each of those whose end is waited for."""
    if admitted.around is None:
        return make(take)
    return admitted.around(lambda begin: make(both(take, begin)))


def _within(admitted: Admitted, face: App, *, in_chunks: bool = False, packed: bool = False) -> App:
    """The face as it reads no larger bodies than the key allows."""
    most_bytes = admitted.most_body_bytes
    return face if most_bytes is None else within(most_bytes, face, in_chunks=in_chunks, packed=packed)


def _is_description(method: str, path: str) -> bool:
    """Whether an endpoint is asked for by its name alone."""
    return method in ("GET", "HEAD") and "/" not in path.removeprefix("/endpoints/")


def _has_slash_too_many(path: str) -> bool:
    return path.endswith("/") and (is_prediction(path[:-1]) or path == "/models/")


def _giving_leave(origin: str, asked: CallerHeaders) -> App:
    async def give_leave(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send_reply(send, 204, headers, b"")

    headers = leave(origin, asked)
    return give_leave


def _opening(origin: str, face: App) -> App:
    def open_to(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return face(scope, receive, with_headers(send, opened(origin)))

    return open_to
