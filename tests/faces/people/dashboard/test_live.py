"""What open pages are sent: all when they come, then what changed; one looks for all of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from service.errors import Unavailable
from service.faces.people.dashboard.live import Live, News

_PATIENCE_S = 60.0


class Scene:
    """Something to look at, as often as a test lets it be looked at."""

    def __init__(self) -> None:
        self.news: dict[str, dict[str, Any]] = {"parts": {"a": "1", "b": "1"}}
        self.is_over = False
        self.trouble: Exception | None = None
        self._looks = threading.Semaphore(0)
        self.live = Live(self._look, lambda: self.is_over, tick_s=0.0)

    def let_look(self) -> None:
        self._looks.release()

    def _look(self) -> News:
        self._looks.acquire(timeout=_PATIENCE_S)
        if self.trouble is not None:
            raise self.trouble
        return {kind: dict(things) for kind, things in self.news.items()}

    async def turn(self, *pages: AsyncIterator[bytes]) -> list[bytes]:
        """Let it be looked at once more, and return what each of these pages is sent."""
        self.let_look()
        return [await sent(page) for page in pages]


async def sent(page: AsyncIterator[bytes]) -> bytes:
    event = await asyncio.wait_for(anext(page), _PATIENCE_S)
    assert event.endswith(b"\n\n")
    return event


def read(event: bytes) -> Any:
    assert event.startswith(b"data: "), event
    return orjson.loads(event[6:])


def run(watch: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a test's coroutine on a scene, and let whoever still looks at it leave."""

    async def live() -> None:
        scene = Scene()
        try:
            await watch(scene)
        finally:
            scene.is_over = True
            scene.let_look()

    asyncio.run(live())


def test_a_page_gets_all_and_then_what_changed() -> None:
    async def watch(scene: Scene) -> None:
        page = scene.live.follow()
        (first,) = await scene.turn(page)
        assert read(first) == {"parts": {"a": "1", "b": "1"}}
        scene.news = {"parts": {"a": "1", "b": "2"}, "other": {"c": 3}}
        (second,) = await scene.turn(page)
        assert read(second) == {"parts": {"b": "2"}, "other": {"c": 3}}
        (third,) = await scene.turn(page)
        assert third.startswith(b":")  # nothing is new; the server is there

    run(watch)


def test_a_page_that_comes_later_or_fell_behind_gets_all() -> None:
    async def watch(scene: Scene) -> None:
        first = scene.live.follow()
        await scene.turn(first)
        second = scene.live.follow()
        assert read(await sent(second)) == scene.news  # at once
        for number in ("2", "3"):
            scene.news = {"parts": {"a": "1", "b": number}}
            (event,) = await scene.turn(first)
            assert read(event) == {"parts": {"b": number}}
        assert read(await sent(second)) == scene.news
        scene.news = {"parts": {"a": "2", "b": "3"}}
        events = await scene.turn(first, second)
        assert [read(event) for event in events] == [{"parts": {"a": "2"}}] * 2

    run(watch)


def test_one_looks_for_all_and_nobody_once_all_have_left() -> None:
    async def watch(scene: Scene) -> None:
        pages = [scene.live.follow() for _ in range(20)]
        assert len(await scene.turn(*pages)) == 20
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(others) == 1
        for page in pages:
            await page.aclose()  # type: ignore[attr-defined]  # they are generators
        scene.let_look()
        await asyncio.wait_for(asyncio.gather(*others), _PATIENCE_S)
        (event,) = await scene.turn(scene.live.follow())
        assert read(event) == scene.news

    run(watch)


def test_when_the_server_stops_pages_are_let_go() -> None:
    async def watch(scene: Scene) -> None:
        page = scene.live.follow()
        await scene.turn(page)
        scene.is_over = True
        scene.let_look()
        with pytest.raises(StopAsyncIteration):
            await sent(page)

    run(watch)


def test_a_page_whose_key_is_good_no_more_is_let_go_and_the_others_go_on() -> None:
    async def watch(scene: Scene) -> None:
        good = {"one": True}
        one, other = scene.live.follow(lambda: good["one"]), scene.live.follow()
        await scene.turn(one, other)
        good["one"] = False
        scene.news = {"parts": {"a": "2", "b": "1"}}
        (event,) = await scene.turn(other)
        assert read(event) == {"parts": {"a": "2"}}
        with pytest.raises(StopAsyncIteration):
            await sent(one)
        with pytest.raises(StopAsyncIteration):  # nor is one let in that comes late
            await sent(scene.live.follow(lambda: good["one"]))

    run(watch)


@pytest.mark.parametrize("trouble", [Unavailable("the store is away"), RuntimeError("a bug")])
def test_a_look_that_fails_is_told_and_the_next_one_counts(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def watch(scene: Scene) -> None:
        page = scene.live.follow()
        await scene.turn(page)
        scene.trouble = trouble
        (event,) = await scene.turn(page)
        assert event.startswith(b":")
        assert "look" in caplog.records[0].getMessage()
        scene.trouble, scene.news = None, {"parts": {"a": "2", "b": "1"}}
        (event,) = await scene.turn(page)
        assert read(event) == {"parts": {"a": "2"}}

    run(watch)
