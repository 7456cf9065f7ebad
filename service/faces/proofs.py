"""Bodies held against the signatures of their requests, before anybody acts on them."""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from service.access.alike import alike
from service.access.claims import AskedHead, BodyHash, Claim, Claims
from service.access.credentials import read_credentials
from service.domain.access_keys import AccessKey
from service.errors import CallerError, ClientGone
from service.http.asgi import App, Headers, Message, Receive, Scope, Send, read_body
from service.http.reply import AnswerAll, Answered, Answering, AnsweringOf


class Proof(NamedTuple):
    """How a body is held against its signature.

    `check` takes the end of a `new_hash` that took the body, mostly its SHA-256 in hexadecimal. It raises
    CallerError for another body than was signed.
    """

    check: Callable[[bytes], None]
    new_hash: Callable[[], BodyHash] = sha256


def while_read(proof: Proof, face: App) -> App:
    """A face that reads whole bodies before it acts on them: the end of one that is not right is an error."""

    def call(scope: Scope, receive: Receive, send: Send) -> Any:
        return face(scope, _Proving(receive, proof), send)

    return call


def before(proof: Proof, face: App, limit_bytes: int, refuse: Callable[[CallerError], App]) -> App:
    """A face that may act before it has read: it gets a body that was looked at."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, _Proving(receive, proof), limit_bytes)
        except ClientGone:
            return
        except CallerError as error:
            await refuse(error)(scope, receive, send)
            return
        await face(scope, _once(body, receive), send)

    return call


def _once(body: bytes, receive: Receive) -> Receive:
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return given.pop() if given else await receive()

    return give


class _Proving:
    """A `receive` that raises instead of giving the last part of another body than was signed."""

    def __init__(self, receive: Receive, proof: Proof) -> None:
        self._receive = receive
        self._proof = proof
        self._hash = proof.new_hash()
        self._is_proven = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._is_proven:
            self._hash.update(message.get("body", b""))
            if not message.get("more_body", False):
                self._proof.check(self._hash.hexdigest().encode("ascii"))
                self._is_proven = True
        return message


class SignedHead:
    """Signed requests to one address, as the fast way has them: see reply.Proving."""

    def __init__(
        self,
        claims: Claims,
        path: str,
        inner: Callable[[AccessKey], Answering],
        deny: Callable[[CallerError], Answering],
    ) -> None:
        """`inner` answers the requests of a key once they are proven, `deny` those that are not."""
        self._claims = claims
        self._path = path
        self._inner = inner
        self._deny = deny

    def of(self, headers: Headers) -> Answering:
        """See reply.Proving."""
        try:
            claim = self._claims.read(*self._asked(headers))
        except CallerError as error:
            return self._deny(error)
        return Answering(partial(self._judge, claim, self._inner(claim.key)), answer_proven)

    def alike(self, headers: Headers, varying: Sequence[bytes]) -> AnsweringOf | None:
        """See reply.Proving."""
        try:
            head, authorization = self._asked(headers)
            claim = self._claims.read(head, authorization)
        except CallerError:
            return None
        found = alike(self._claims.keyring, claim, head, varying)
        if found is None:
            return None
        check, inner, deny = found.check, self._inner(claim.key), self._deny

        def judge(values: Sequence[bytes], body: bytes) -> Answering:
            try:
                error = check(values, body)
                return inner if error is None else deny(error)
            except Exception as bug:  # edge: who answers the round words it, as any other fault of ours
                return Answering(bug, _fail)

        return judge

    def _asked(self, headers: Headers) -> tuple[AskedHead, bytes | None]:
        """The head with these headers, and its signature. Raises SignatureIncomplete, CredentialsMissing."""
        head = AskedHead("POST", self._path, self._path.encode("ascii"), b"", headers)
        return head, read_credentials(headers, b"").authorization

    def _judge(self, claim: Claim, inner: Answering, body: bytes) -> Answering:
        try:
            self._claims.check_body(claim, sha256(body).hexdigest().encode("ascii"))
        except CallerError as error:
            return self._deny(error)
        return inner


def _fail(asked: Sequence[tuple[Exception, Sequence[bytes]]]) -> list[list[Answered]]:
    """Raise what went wrong when a request was judged."""
    raise asked[0][0]


def answer_proven(
    asked: Sequence[tuple[Callable[[bytes], Answering], Sequence[bytes]]],
) -> list[list[Answered]]:
    """Answer requests of which each has to be judged first: what answers it depends on its body.

    Those that are right are answered together, as if nobody had asked who sent them.
    """
    judged = [(judge(body), body) for judge, bodies in asked for body in bodies]
    first, body = judged[0]
    if len(judged) == 1:
        return first.answer_all([(first.head, [body])])
    if all(answering is first for answering, _ in judged):
        (answers,) = first.answer_all([(first.head, [body for _, body in judged])])
    else:
        answers = _answer_apart(judged)
    given = iter(answers)
    return [[next(given) for _ in bodies] for _, bodies in asked]


def _answer_apart(judged: Sequence[tuple[Answering, bytes]]) -> list[Answered]:
    """Answer each body by its own, those of one face together."""
    faces: dict[AnswerAll, dict[Answering, list[int]]] = {}
    for place, (answering, _) in enumerate(judged):
        faces.setdefault(answering.answer_all, {}).setdefault(answering, []).append(place)
    found: dict[int, Answered] = {}
    for answer_all, alike_ones in faces.items():
        together = [(each.head, [judged[at][1] for at in places]) for each, places in alike_ones.items()]
        for places, answers in zip(alike_ones.values(), answer_all(together), strict=True):
            found.update(zip(places, answers, strict=True))
    return [found[place] for place in range(len(judged))]
