"""How many requests of a key are under way: each until it is answered, whichever way that goes."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Iterator, Sequence

import pytest

from service.access.in_flight import InFlight
from service.errors import CallerError
from service.faces.at_once import AtOnce
from service.http.reply import Answered, Answering, Reply, Written
from service.promise import Promise
from tests.contracts.http_server import Talk
from tests.faces.keyed import KeyedServer

_DONE = Reply(200, [], b"done")


class Face:
    """Answers as a test says, body by body."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.answers: list[Answered] = []

    def answer_all(self, asked: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[Answered]]:
        ((_, bodies),) = asked
        self.rounds.append(len(bodies))
        return [[self.answers.pop(0) for _ in bodies]]


class Asked:
    """A face behind a limit of two at once."""

    def __init__(self) -> None:
        self.face = Face()
        limit = AtOnce(InFlight(), "key", 2, "The key web")
        self.answering = limit.answering(Answering("head", self.face.answer_all), deny)

    def ask(self, *answers: Answered) -> list[Answered]:
        """What becomes of as many requests of one round, of which those that are let in get these answers."""
        self.face.answers = [*answers]
        ((found),) = self.answering.answer_all([(self.answering.head, [b""] * len(answers))])
        return found


def deny(error: CallerError) -> Answering:
    def refuse(asked: Sequence[tuple[CallerError, Sequence[bytes]]]) -> list[list[Answered]]:
        return [[Reply(429, [], each.message.encode()) for _ in bodies] for each, bodies in asked]

    return Answering(error, refuse)


def statuses(answers: list[Answered]) -> list[int]:
    return [answer.status for answer in answers if isinstance(answer, Reply)]


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_of_one_round_as_many_are_let_in_as_may_be_and_answered_together(asked: Asked) -> None:
    answers = asked.ask(_DONE, Written(b"", b"1"), _DONE, _DONE)

    assert [isinstance(answers[0], Reply), isinstance(answers[1], Written)] == [True, True]
    assert statuses(answers[2:]) == [429, 429]
    assert answers[2].body == b"Too many requests at once. The key web may have 2 under way."  # type: ignore[union-attr]  # a reply
    assert asked.face.rounds == [2]
    assert statuses(asked.ask(_DONE, _DONE)) == [200, 200]  # the first ones are over


def test_what_is_promised_is_under_way_until_the_promise_is_kept_or_nobody_has_it(asked: Asked) -> None:
    first, second = Promise[Written | Reply](), Promise[Written | Reply]()
    asked.ask(first)
    waiting = asked.ask(second)
    assert statuses(asked.ask(_DONE)) == [429]

    first.keep(RuntimeError("no model"))
    assert statuses(asked.ask(_DONE)) == [200]
    third = Promise[Written | Reply]()
    asked.ask(third)
    assert statuses(asked.ask(_DONE)) == [429]
    del second
    waiting.clear()
    gc.collect()
    assert statuses(asked.ask(_DONE)) == [200]


def test_what_is_awaited_is_under_way_until_it_is_there_fails_or_is_given_up(asked: Asked) -> None:
    async def act() -> None:
        gate = asyncio.Event()

        async def late() -> Reply:
            await gate.wait()
            return _DONE

        async def broken() -> Reply:
            await gate.wait()
            raise RuntimeError("no model")

        pending = [awaited(answer) for answer in asked.ask(late(), broken())]
        assert statuses(asked.ask(_DONE)) == [429]
        gate.set()
        results = await asyncio.gather(*pending, return_exceptions=True)
        assert (results[0], str(results[1])) == (_DONE, "no model")
        gate.clear()
        given_up = [asyncio.ensure_future(awaited(answer)) for answer in asked.ask(late(), late())]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        assert statuses(asked.ask(_DONE, _DONE)) == [200, 200]

    asyncio.run(act())


async def awaited(answer: Answered) -> Reply | Written:
    assert isinstance(answer, Awaitable)
    return await answer


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "asgi"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeyedServer]:
    with KeyedServer(tmp_path_factory.mktemp("keyed"), fast=request.param) as found:
        yield found


def test_a_key_has_as_many_requests_under_way_as_it_may(running: KeyedServer) -> None:
    key = running.mint(concurrency=1)
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nX-Api-Key: {key.api_key}\r\n"
    )
    whole = f"{head}\r\n1,2\n".encode()
    with Talk.to(running.address) as one, Talk.to(running.address) as two:
        one.send(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert one.piece().startswith(b"HTTP/1.1 100")  # it is being read

        two.send(whole)
        status, told, body = two.answer()
        assert (status, b"retry-after: 1\r\n" in told.lower() + b"\r\n") == (429, True)
        assert (
            json.loads(body)["Message"]
            == f"Too many requests at once. The key {key.key.name} may have 1 under way."
        )
        one.send(b"1,2\n")
        assert one.answer()[0] == 200
        while status == 429:  # until the server has seen that it is over
            two.send(whole)
            status = two.answer()[0]
        assert status == 200
