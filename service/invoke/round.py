"""The requests of one round of the event loop, of all doors: answered together, each for certain.

So a model may answer them by one prediction, and whoever waits for several answers wakes up once for all:
each of these costs more than all else that one request takes. The first of them waits while the others are
received, some microseconds each; who has been the only one to ask for a while waits for nobody. Whatever goes
wrong on the way is the matter of the request that it belongs to: nobody's answer is lost with another's.
"""

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

from service.http.failures import log_bug, note_unanswered
from service.http.phase import ANSWER, ROUND
from service.http.rendering import FAILURE
from service.http.reply import AnswerAll, Answered, Answering, Reply

_Asked = tuple[Any, list[bytes]]
_Requests = list[tuple["Waiter", bytes, int]]
"""Who waits for an answer, the request, and where in it the body begins."""

# After so many requests of one connection with none of another in between, nobody else seems to be there.
_ALONE = 16


class Waiter(Protocol):
    """Who waits for an answer."""

    @property
    def state(self) -> int:
        """ROUND while it waits; anything else once there is nobody to answer any more."""
        ...

    def take(self, answer: Answered) -> None:
        """The answer, or what is left to await for it."""
        ...


class Round:
    """Collects requests until the event loop has taken up all that it received, and answers them at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """For the requests of one event loop."""
        self._loop = loop
        self._waiting: dict[Answering, _Requests] = {}
        self._last, self._in_a_row = 0, 0  # who asked last, by its id, and how often before others did

    def add(self, waiter: Waiter, answering: Answering, request: bytes, at: int = 0) -> None:
        """Answer it soon: before anything else happens in the event loop but more requests being received.

        Its body is `request` from `at` on. Whoever is alone has the answer before this returns.
        """
        waiting = self._waiting
        if waiting:
            self._last = 0  # nobody: there are several
            requests = waiting.get(answering)
            if requests is None:
                waiting[answering] = [(waiter, request, at)]
            else:
                requests.append((waiter, request, at))
            return
        if self._last != id(waiter):
            self._last, self._in_a_row = id(waiter), 1
        elif self._in_a_row < _ALONE:
            self._in_a_row += 1
        else:
            _hand_over(waiter, self.answer(answering, request[at:]))
            return
        waiting[answering] = [(waiter, request, at)]
        self._loop.call_soon(self.finish)

    def ask(self, answering: Answering, body: bytes) -> asyncio.Future[Answered]:
        """As `add`, for who awaits the answer; who gives up before it is there is not answered."""
        future: asyncio.Future[Answered] = self._loop.create_future()
        self._last = 0  # nobody: each has a waiter of his own, and all of them wake up together
        self.add(_Awaiting(future), answering, body)
        return future

    def answer(self, answering: Answering, body: bytes) -> Answered:
        """Answer one request now, by itself, whatever happens."""
        return _answer(answering.answer_all, [(answering.head, [body])])[0][0]

    def finish(self) -> None:
        """Answer all, now."""
        waiting, self._waiting = self._waiting, {}
        if len(waiting) == 1:
            (alike,) = waiting.items()
            _answer_alike(*alike)
        else:
            _answer_together(waiting)


class _Awaiting:
    """Waits for an answer as a future does."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Answered]) -> None:
        self._future = future

    @property
    def state(self) -> int:
        return ANSWER if self._future.done() else ROUND

    def take(self, answer: Answered) -> None:
        if not self._future.done():
            self._future.set_result(answer)


def _answer_alike(answering: Answering, requests: _Requests) -> None:
    """Answer requests of one head: most rounds have no others, and this takes fewer steps."""
    there = [each for each in requests if each[0].state == ROUND]  # the others are gone
    if there:
        bodies = [request[at:] for _, request, at in there]
        (answers,) = _answer(answering.answer_all, [(answering.head, bodies)])
        for (waiter, _, _), answer in zip(there, answers, strict=True):
            try:  # as _hand_over does, without a call for each
                waiter.take(answer)
            except Exception as error:
                _note_not_taken(error)


def _answer_together(waiting: dict[Answering, _Requests]) -> None:
    """Answer requests of several heads: each face all of its own at once, before anybody is told."""
    faces: dict[AnswerAll, tuple[list[Waiter], list[_Asked]]] = {}
    for answering, requests in waiting.items():
        there = [each for each in requests if each[0].state == ROUND]  # the others are gone
        if there:
            face = faces.get(answering.answer_all)
            if face is None:
                face = faces[answering.answer_all] = ([], [])
            waiters, asked = face
            waiters += [waiter for waiter, _, _ in there]
            asked.append((answering.head, [request[at:] for _, request, at in there]))
    answered = [(waiters, _answer(answer_all, asked)) for answer_all, (waiters, asked) in faces.items()]
    for waiters, found in answered:
        for waiter, answer in zip(waiters, chain.from_iterable(found), strict=True):
            try:  # as _hand_over does, without a call for each
                waiter.take(answer)
            except Exception as error:
                _note_not_taken(error)


def _hand_over(waiter: Waiter, answer: Answered) -> None:
    try:
        waiter.take(answer)
    except Exception as error:  # the others wait for theirs
        _note_not_taken(error)


def _note_not_taken(error: Exception) -> None:
    log_bug("answer not taken", error)


def _answer(answer_all: AnswerAll, asked: Sequence[_Asked]) -> list[list[Answered]]:
    """What a face answers, as much as was asked. What fails together is asked one by one, to see whose it is.

    A face should raise nothing; this is for the day when it does.
    """
    try:
        found = answer_all(asked)
        if [len(answers) for answers in found] != [len(bodies) for _, bodies in asked]:
            raise RuntimeError("A face has not as many answers as it was asked for.")
    except Exception as error:  # the net: who waits is answered whatever happens
        if len(asked) == 1 and len(asked[0][1]) == 1:
            note_unanswered(error)
            return [[Reply(500, [(b"Content-Type", b"text/plain; charset=utf-8")], FAILURE)]]
        return [[_answer(answer_all, [(head, [body])])[0][0] for body in bodies] for head, bodies in asked]
    return found
