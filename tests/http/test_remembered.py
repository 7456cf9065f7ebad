from hypothesis import given
from hypothesis import strategies as st

from service.http.remembered import Remembered, remembering


def test_what_was_kept_is_found_and_nothing_else() -> None:
    memory = Remembered[str, int](10, 1000)
    memory.keep("a", 0, 1)

    assert memory.find("a") == 0
    assert memory.find("b") is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=200))
def test_it_never_holds_more_than_it_may(kept: list[tuple[int, int]]) -> None:
    memory, sizes = Remembered[int, int](8, 100), {}
    for key, size in kept:
        if memory.find(key) is None:
            memory.keep(key, key, size)
            sizes[key] = size
        there = [key for key in sizes if key in memory]
        assert len(there) == len(memory) <= 8
        assert sum(sizes[key] for key in there) <= 100


def test_what_is_asked_for_again_outlives_what_is_not() -> None:
    memory = Remembered[int, int](8, 1000)
    memory.keep(-1, -1, 1)
    for number in range(100):
        memory.keep(number, number, 1)
        assert memory.find(-1) == -1
    assert memory.find(0) is None


def test_what_is_larger_than_the_whole_is_not_kept() -> None:
    memory = Remembered[str, int](8, 100)
    memory.keep("small", 1, 1)
    memory.keep("large", 1, 101)

    assert memory.find("small") == 1
    assert memory.find("large") is None


def test_a_function_makes_the_same_thing_once_but_none_is_made_anew() -> None:
    asked: list[str] = []

    def make(key: str) -> str | None:
        asked.append(key)
        return key or None

    find = remembering(make, 10, 1000, len)

    assert [find("a"), find("a"), find(""), find("")] == ["a", "a", None, None]
    assert asked == ["a", "", ""]
