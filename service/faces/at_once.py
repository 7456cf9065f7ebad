"""Who has too much under way at once is told so: requests that are counted until they are answered."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from service.access.in_flight import InFlight
from service.errors import CallerError, Throttled
from service.faces.identity import Deny, Take
from service.http.asgi import App, Receive, Scope, Send
from service.http.reply import Answered, Answering, Reply, Written
from service.promise import Promise

_WAIT_S = 1.0


class _Turn:
    """A request under way. It is over when that is said, or when nobody knows of it any more."""

    __slots__ = ("_counts", "_row")

    def __init__(self, counts: InFlight, row: int) -> None:
        self._counts = counts
        self._row = row

    def end(self) -> None:
        row, self._row = self._row, -1
        if row >= 0:
            self._counts.leave(row)

    def __del__(self) -> None:
        self.end()  # its client is gone, and with him who would have said so


class AtOnce:
    """Lets as many of somebody's requests be under way as he may have, in all gateways together."""

    def __init__(self, counts: InFlight, name: str, most: int, told: str) -> None:
        """`name` is what they are counted by, `told` how he is called."""
        self._counts = counts
        self._name = name
        self._most = most
        self._told = told

    def answering(self, answering: Answering, deny: Deny) -> Answering:
        """What answers requests, as long as few are under way."""
        return Answering(answering, partial(self._answer_all, deny))

    def around(self, face_of: Callable[[Take], App]) -> App:
        """A face that is made for each request, of what lets that begin; it is over when the face is."""

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            turns: list[_Turn] = []
            try:
                await face_of(lambda: turns.append(self._begin()))(scope, receive, send)
            finally:
                for turn in turns:
                    turn.end()

        return call

    def _begin(self) -> _Turn:
        row = self._counts.enter(self._name, self._most)
        if row is None:
            raise Throttled(
                f"Too many requests at once. {self._told} may have {self._most:,} under way.", _WAIT_S
            )
        return _Turn(self._counts, row)

    def _answer_all(
        self, deny: Deny, asked: Sequence[tuple[Answering, Sequence[bytes]]]
    ) -> list[list[Answered]]:
        return [self._answer(deny, answering, bodies) for answering, bodies in asked]

    def _answer(self, deny: Deny, answering: Answering, bodies: Sequence[bytes]) -> list[Answered]:
        """Answer those that may begin together, as if they were all there are."""
        begun = [self._begin_or_refuse() for _ in bodies]
        let_in = [body for body, each in zip(bodies, begun, strict=True) if isinstance(each, _Turn)]
        answers: Iterator[Answered] = iter(())
        if let_in:
            (found,) = answering.answer_all([(answering.head, let_in)])
            answers = iter(found)
        return [
            _until_answered(each, next(answers)) if isinstance(each, _Turn) else _refused(deny, each)
            for each in begun
        ]

    def _begin_or_refuse(self) -> _Turn | CallerError:
        try:
            return self._begin()
        except Throttled as error:
            return error


def _refused(deny: Deny, error: CallerError) -> Answered:
    denying = deny(error)
    ((answer,),) = denying.answer_all([(denying.head, [b""])])
    return answer


def _until_answered(turn: _Turn, answer: Answered) -> Answered:
    if isinstance(answer, (Written, Reply)):
        turn.end()
        return answer
    if isinstance(answer, Promise):
        promise: Promise[Written | Reply] = answer.then(partial(_hand_on, turn))
        return promise
    return _await(turn, answer)


def _hand_on(turn: _Turn, outcome: Written | Reply | Exception) -> Written | Reply | Exception:
    turn.end()
    return outcome


async def _await(turn: _Turn, answer: Awaitable[Written | Reply]) -> Written | Reply:
    try:
        return await answer
    finally:
        turn.end()
