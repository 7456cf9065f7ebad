"""Who has been the only one to ask for a while is answered at once; all others wait for each other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from service.http.phase import ROUND
from service.http.reply import Answered, Answering, Reply, Written
from service.invoke.round import Round

_SOON = 50  # requests after which somebody is known to be alone


@dataclass
class Waiting:
    """Waits as a connection does."""

    answers: list[Answered] = field(default_factory=list)
    breaks: bool = False
    state: int = ROUND

    def take(self, answer: Answered) -> None:
        if self.breaks:
            raise ArithmeticError
        self.answers.append(answer)


class Face:
    """Echoes, and knows how many it was asked for together."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.answering = Answering("head", self.answer_all)

    def answer_all(self, asked: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[Answered]]:
        self.together.append(sum(len(bodies) for _, bodies in asked))
        if any(b"bad" in bodies for _, bodies in asked):
            raise MemoryError
        return [[Written(b"", body) for body in bodies] for _, bodies in asked]


def _run(act: Callable[[Round, Face], Awaitable[None]]) -> None:
    async def run() -> None:
        await act(Round(asyncio.get_running_loop()), Face())

    asyncio.run(run())


async def _be_alone(rounds: Round, face: Face, waiter: Waiting) -> None:
    for number in range(_SOON):
        rounds.add(waiter, face.answering, b"head%d" % number, 4)
        await asyncio.sleep(0)  # the end of the round
        assert len(waiter.answers) == number + 1
    assert face.together == [1] * _SOON


def test_who_is_alone_has_the_answer_before_anything_else_happens() -> None:
    async def act(rounds: Round, face: Face) -> None:
        waiter = Waiting()
        rounds.add(waiter, face.answering, b"first")
        assert waiter.answers == []  # somebody else may be about to ask
        rounds.finish()
        waiter.answers.clear()
        face.together.clear()
        await _be_alone(rounds, face, waiter)
        rounds.add(waiter, face.answering, b"headbody", 4)
        assert waiter.answers[-1] == Written(b"", b"body")

    _run(act)


def test_the_first_to_come_beside_who_was_alone_has_both_wait_for_each_other() -> None:
    async def act(rounds: Round, face: Face) -> None:
        one, other = Waiting(), Waiting()
        await _be_alone(rounds, face, one)
        face.together.clear()
        for _ in range(_SOON):
            for waiter in (other, one):
                waiter.answers.clear()
                rounds.add(waiter, face.answering, b"body")
                assert waiter.answers == []
            await asyncio.sleep(0)
            assert one.answers == other.answers == [Written(b"", b"body")]
        assert face.together == [2] * _SOON

    _run(act)


def test_requests_by_asgi_are_never_taken_for_those_of_one_who_is_alone() -> None:
    async def act(rounds: Round, face: Face) -> None:
        waiter = Waiting()
        await _be_alone(rounds, face, waiter)
        face.together.clear()
        for _ in range(_SOON):
            asked = [rounds.ask(face.answering, b"body") for _ in range(2)]
            assert [one.done() for one in asked] == [False, False]
            assert await asyncio.gather(*asked) == [Written(b"", b"body")] * 2
        rounds.add(waiter, face.answering, b"body")
        assert len(waiter.answers) == _SOON
        await asyncio.sleep(0)
        assert len(waiter.answers) == _SOON + 1
        assert face.together == [2] * _SOON + [1]

    _run(act)


@pytest.mark.parametrize("breaks", [False, True])
def test_whatever_goes_wrong_with_one_who_is_alone_goes_no_further(breaks: bool) -> None:
    async def act(rounds: Round, face: Face) -> None:
        waiter = Waiting()
        await _be_alone(rounds, face, waiter)
        waiter.breaks = breaks
        rounds.add(waiter, face.answering, b"good" if breaks else b"bad")
        waiter.breaks = False
        if not breaks:
            answer = waiter.answers[-1]
            assert isinstance(answer, Reply)
            assert answer.status == 500
        rounds.add(waiter, face.answering, b"next")
        assert waiter.answers[-1] == Written(b"", b"next")

    _run(act)
