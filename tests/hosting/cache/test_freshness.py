"""Loaded models whose files changed are found, a few at each look."""

from collections.abc import Callable
from pathlib import Path

from service.errors import ModelNotFound
from service.hosting.cache.freshness import CHANGED, Freshness, version_to_load
from service.hosting.cache.source import ModelKey


def test_every_model_has_its_turn() -> None:
    keys = [ModelKey(Path(f"/m/{number:02}")) for number in range(25)]
    now = dict.fromkeys(keys, "1")
    freshness = Freshness(now.__getitem__)
    loaded = [(key, "1") for key in keys]
    now |= {keys[3]: "2", keys[24]: "2"}

    freshness.look(loaded)
    assert [key for key in keys if freshness.notes(key, "1")] == [keys[3]]
    freshness.look(loaded)
    freshness.look(loaded)
    assert [key for key in keys if freshness.notes(key, "1")] == [keys[3], keys[24]]
    assert freshness.notes(keys[3], "1") == (CHANGED,)
    assert freshness.notes(keys[3], "2") == ()

    now[keys[3]] = "1"  # put back as it was
    freshness.look(loaded)
    assert [key for key in keys if freshness.notes(key, "1")] == [keys[24]]
    freshness.look(loaded[:1])
    assert not freshness.notes(keys[24], "1")  # it is no more loaded


def test_a_model_whose_files_are_gone_goes_on() -> None:
    def gone(key: ModelKey) -> str:
        raise ModelNotFound("gone")

    freshness = Freshness(gone)
    freshness.look([(ModelKey(Path("/m")), "1")])
    assert freshness.notes(ModelKey(Path("/m")), "1") == ()


def test_what_was_just_written_over_is_loaded_once_all_may_have_gone_over() -> None:
    asked: list[str] = []

    def now(*versions: str) -> Callable[[], str]:
        left = iter(versions)

        def ask() -> str:
            asked.append(next(left))
            return asked[-1]

        return ask

    assert version_to_load(now("a"), "a") == "a"
    assert version_to_load(now("b"), "") == "b"
    assert version_to_load(now("b", "b", "a"), "a") == "a"  # the old files are back
    assert asked == ["a", "b", "b", "b", "a"]
    assert version_to_load(lambda: "b", "a") == "b"  # nobody goes over: it is loaded as it is
