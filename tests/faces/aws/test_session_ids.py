"""Sessions of endpoints with several variants: each call goes where the session was opened."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.caller import Caller
from service.domain.endpoint import ModelSource, Variant
from service.domain.traffic import Traffic
from service.domain.user_shares import UserShares
from service.faces.aws.runtime import RuntimeFace
from service.faces.aws.session_ids import mark_session, read_session
from service.faces.identity import PASSAGE, Passage
from service.hosting.host import Answer, Call
from service.hosting.stopwatch import Stopwatch
from service.http.asgi import Message, Scope
from service.invoke.directory import Directory, Route, Target
from service.invoke.predict import Predictor
from service.invoke.round import Round
from service.observe.counts import Registry

_NAMES = st.from_regex(r"\A[a-zA-Z0-9](-?[a-zA-Z0-9]){0,30}\Z")  # up to 61, as names of variants have


@dataclass
class _Sessions:
    """A model that opens a session where it is asked to, and closes the one that is asked for."""

    calls: list[str | None] = field(default_factory=list)

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> None:
        """It never answers at once."""

    def begin(self, call: Call, watch: Stopwatch) -> None:
        """Nor without a task."""

    async def invoke(self, call: Call, watch: Stopwatch) -> Answer:
        self.calls.append(call.session_id)
        begun = "own-1; Expires=2030-01-01T00:00:00Z" if call.session_id == "NEW_SESSION" else None
        ended = None if begun else call.session_id
        return Answer(b"1", "text/csv", None, 200, begun, ended)


class _House:
    """One gateway before an endpoint; another one would have the same directory."""

    def __init__(self, folder: Any, *names: str) -> None:
        registry = Registry(folder, "test")
        self.models = {name: _Sessions() for name in names}
        self.drawn = 0.0
        weights = [(name, 1.0) for name in names]
        named: dict[str, Any] = {
            name: Target(Variant(name, 1.0, ModelSource("/m")), model, registry.invocation("e", name))  # type: ignore[arg-type]  # a stand-in
            for name, model in self.models.items()
        }
        targets = {(1, name): target for name, target in named.items()}
        traffic = Traffic([(key, 1.0) for key in targets])
        route = Route("e", targets, named, traffic, multi=False, users=UserShares("e", weights))
        directory = Directory(1, {}, {"e": route}, "e")
        self.predictor = Predictor(lambda: directory, lambda: self.drawn, registry)

    def ask(self, session: str) -> dict[str, str]:
        """The headers of an answer, in lower case."""
        return asyncio.run(self._ask(session))

    async def _ask(self, session: str) -> dict[str, str]:
        face = RuntimeFace(self.predictor, Round(asyncio.get_running_loop()), 1000)
        headers = [(b"x-amzn-sagemaker-session-id", session.encode())]
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/endpoints/e/invocations",
            "headers": headers,
        }
        scope[PASSAGE] = Passage(Caller("000000000000", "us-east-1"), face)
        parts: list[Message] = [{"type": "http.request", "body": b"1"}]
        sent: list[Message] = []

        async def receive() -> Message:
            return parts.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await face(scope, receive, send)
        assert sent[0]["status"] == 200
        return {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize("drawn", [0.0, 0.9])
def test_a_session_goes_on_at_the_variant_that_opened_it_which_meets_its_own_id(
    tmp_path: Any, drawn: float
) -> None:
    house = _House(tmp_path, "a", "b-b")
    house.drawn = drawn
    opened = house.ask("NEW_SESSION")
    variant = opened["x-amzn-invoked-production-variant"]
    session, _, expires = opened["x-amzn-sagemaker-new-session-id"].partition("; ")
    house.drawn = 0.9 - drawn  # without the session it would go to the other one

    closed = house.ask(session)

    assert expires == "Expires=2030-01-01T00:00:00Z"
    assert house.models[variant].calls == ["NEW_SESSION", "own-1"]
    assert closed["x-amzn-invoked-production-variant"] == variant
    assert closed["x-amzn-sagemaker-closed-session-id"] == session


def test_ids_that_callers_made_up_keep_their_variant(tmp_path: Any) -> None:
    house = _House(tmp_path, "a", "b")
    ids = [f"mine-{number}" for number in range(20)]
    first = [house.ask(each)["x-amzn-invoked-production-variant"] for each in ids]
    house.drawn = 0.9

    assert [house.ask(each)["x-amzn-invoked-production-variant"] for each in ids] == first
    assert set(first) == {"a", "b"}
    met = [session for model in house.models.values() for session in model.calls]
    assert sorted(map(str, met)) == sorted(ids * 2)


def test_of_one_variant_ids_are_as_its_container_made_them(tmp_path: Any) -> None:
    house = _House(tmp_path, "a")

    opened = house.ask("NEW_SESSION")

    assert opened["x-amzn-sagemaker-new-session-id"] == "own-1; Expires=2030-01-01T00:00:00Z"
    assert house.ask("own-1-a-v1")["x-amzn-sagemaker-closed-session-id"] == "own-1-a-v1"


@given(_NAMES, _NAMES)
def test_what_was_marked_is_read_again_and_may_be_sent(own: str, variant: str) -> None:
    marked = mark_session(own, variant)

    assert read_session(marked, [variant, "other"]) == (own, variant)
    assert read_session(marked, ["other"]) == (marked, None)
    assert len(marked) <= 256


@pytest.mark.parametrize(
    "odd", ["", "-v", "-v1", "a-v1", "x-a-v2", "x-a-v01x", "x-a-v0", "a-v99", "x-a-v\u0661"]
)
def test_what_names_no_variant_is_the_containers_own(odd: str) -> None:
    assert read_session(odd, ["a", "b"]) == (odd, None)


def test_an_id_that_would_be_too_long_stays_as_it_is() -> None:
    assert mark_session("x" * 250, "variant") == "x" * 250
