import pytest

from service.domain.access_keys import CODEC, AccessKey, Permission, matches


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("iris", {"iris"}),
        ("*", {"iris", "iris-2", "my-iris", "a-iris-b", ""}),
        ("iris*", {"iris", "iris-2"}),
        ("*iris", {"iris", "my-iris"}),
        ("*iris*", {"iris", "iris-2", "my-iris", "a-iris-b"}),
        ("a*-*b", {"a-iris-b"}),
        ("i*s", {"iris"}),
        ("iris*iris", set()),
        ("", {""}),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, names: set[str]) -> None:
    all_names = ("iris", "iris-2", "my-iris", "a-iris-b", "")

    assert {name for name in all_names if matches(pattern, name)} == names


def test_a_pattern_of_many_stars_comes_to_an_end() -> None:
    assert not matches("*a" * 32 + "b", "a" * 10_000)


def test_a_key_is_read_as_it_was_written() -> None:
    key = AccessKey("A", "a", "00", frozenset(Permission), ("iris", "x-*"), 1.0, 2.0, 3.0, "file")

    assert CODEC.read(CODEC.write(key)) == key
    assert CODEC.read({**CODEC.write(key), "of_a_later_release": 1}) == key


def test_a_key_is_over_from_its_last_second_on() -> None:
    key = AccessKey("A", "a", "00", frozenset(Permission), ("*",), 1.0, 2.0)

    assert not key.has_expired(1.9)
    assert key.has_expired(2.0)
