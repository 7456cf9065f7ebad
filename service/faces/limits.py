"""Who asks too often, or too much at once, is told so: requests that are counted before they are answered."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from service.access.in_flight import InFlight
from service.access.token_buckets import TokenBuckets
from service.domain.access_keys import AccessKey, matches
from service.errors import CallerError, PayloadTooLarge, Throttled
from service.faces.at_once import AtOnce
from service.faces.identity import Deny, Take
from service.faces.proofs import Proof, answer_proven
from service.http.asgi import App, Headers, Message, Receive, Scope, Send
from service.http.encodings import growth_bytes
from service.http.reply import Answering
from service.rates import RequestRate

_ENDPOINTS = "/endpoints/"
_INVOCATIONS = "/invocations"
_LENGTH, _LENGTH_INSIDE = b"content-length", b"x-amz-decoded-content-length"
_MOST_DIGITS = 18
_INSIDE_PER_AROUND = 64  # a chunk has 8 KiB or more, and a line of 86 bytes around it where it is signed
_LEAST_BYTES_AROUND = 2048  # with the trailer


class RateLimits:
    """Counts requests by the keys and by the endpoints that have rates."""

    def __init__(
        self,
        buckets: TokenBuckets,
        endpoints: Mapping[str, RequestRate],
        default_endpoint: Callable[[], str | None] = lambda: None,
        in_flight: InFlight | None = None,
    ) -> None:
        """`endpoints` maps names and patterns of names to rates, of which the first that fits counts.

        Without `in_flight` this process alone counts what is under way.
        """
        self._in_flight = InFlight() if in_flight is None else in_flight
        self._buckets = buckets
        self._endpoints = endpoints
        self._default_endpoint = default_endpoint

    def of_key(self, key: AccessKey) -> Take | None:
        """What counts the requests by a key; None if that has no rate."""
        if key.rate is None:
            return None
        return partial(self._take, f"key {key.id}", key.rate, f"The key {key.name}")

    def at_once(self, key: AccessKey) -> AtOnce | None:
        """What counts how many requests by a key are under way; None if there may be any number."""
        if key.concurrency is None:
            return None
        return AtOnce(self._in_flight, key.id, key.concurrency, f"The key {key.name}")

    def of_path(self, method: str, path: str) -> Take | None:
        """What counts the requests to an address; None if none does."""
        if not self._endpoints or method != "POST" or not path.endswith(_INVOCATIONS):
            return None
        if path == _INVOCATIONS:
            return self._take_of_default
        if path.startswith(_ENDPOINTS):
            return self._of_endpoint(path[len(_ENDPOINTS) : -len(_INVOCATIONS)])
        return None

    def _of_endpoint(self, name: str) -> Take | None:
        rate = next((rate for pattern, rate in self._endpoints.items() if matches(pattern, name)), None)
        if rate is None:
            return None
        return partial(self._take, f"endpoint {name}", rate, f"Endpoint {name}")

    def _take_of_default(self) -> None:
        take = self._of_endpoint(self._default_endpoint() or "")
        if take is not None:
            take()

    def _take(self, name: str, rate: RequestRate, told: str) -> None:
        wait_s = self._buckets.take(name, rate)
        if wait_s > 0:
            raise Throttled(f"Rate exceeded. {told} may be asked {rate.per_s:g} times a second.", wait_s)


def both(first: Take | None, second: Take | None) -> Take | None:
    """What counts a request twice, if there are two who count."""
    if first is None or second is None:
        return first or second

    def take() -> None:
        first()
        second()

    return take


def counted(answering: Answering, take: Take | None, most_body_bytes: int | None, deny: Deny) -> Answering:
    """What answers requests as long as they are few and small enough."""
    if take is None and most_body_bytes is None:
        return answering

    def judge(body: bytes) -> Answering:
        try:
            if most_body_bytes is not None and len(body) > most_body_bytes:
                raise PayloadTooLarge(most_body_bytes)
            if take is not None:
                take()
        except CallerError as error:
            return deny(error)
        return answering

    return Answering(judge, answer_proven)


def counting(take: Take, face: App, refuse: Callable[[CallerError], App]) -> App:
    """A face that is asked as long as there are few requests."""

    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        try:
            take()
        except CallerError as error:
            return refuse(error)(scope, receive, send)
        return face(scope, receive, send)

    return call


def proven_and_counted(proof: Proof, take: Take) -> Proof:
    """A proof that counts the request, if it is one."""

    def prove(body_hash: bytes) -> None:
        proof.check(body_hash)
        take()

    return Proof(prove, proof.new_hash)


def within(most_body_bytes: int, face: App, *, in_chunks: bool = False, packed: bool = False) -> App:
    """A face that reads no larger bodies: what would be one raises PayloadTooLarge where it is read.

    One that says so in its head is not begun. Where bodies may come `in_chunks` what is inside them counts.
    Of `packed` ones it is for whoever unpacks them to count what is inside.
    """

    def call(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        announced, around = _announced(scope["headers"], in_chunks)
        if packed:
            around = growth_bytes(most_body_bytes)
            announced -= around
        return face(scope, _Counting(receive, most_body_bytes, announced, around), send)

    return call


def _announced(headers: Headers, in_chunks: bool) -> tuple[int, int]:
    """How many bytes a body has by its head, and how many besides may be around its chunks."""
    told = {
        name: int(value)
        for name, value in headers
        if name in (_LENGTH, _LENGTH_INSIDE) and value.isdigit() and len(value) <= _MOST_DIGITS
    }
    inside = told.get(_LENGTH_INSIDE) if in_chunks else None
    if inside is None:
        return told.get(_LENGTH, 0), 0
    return inside, inside // _INSIDE_PER_AROUND + _LEAST_BYTES_AROUND


class _Counting:
    """A `receive` that counts the bytes of a body."""

    def __init__(self, receive: Receive, most_bytes: int, announced_bytes: int, around_bytes: int) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._announced_bytes = announced_bytes
        self._around_bytes = around_bytes
        self._received = 0

    async def __call__(self) -> Message:
        if self._announced_bytes > self._most_bytes:
            raise PayloadTooLarge(self._most_bytes)
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self._most_bytes + self._around_bytes:
            raise PayloadTooLarge(self._most_bytes)
        return message
