"""Walks and pages against a list of keys that is sorted and filtered in one go."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from service.objects.beneath import Spot
from service.objects.buckets.listing import Walk, behind_all, page_of

_KEYS = ("a", "b/a", "b/a.x", "b/c/d", "b-", "b.", "b0", "c/é", "c/z/z/z", "d/", "é/ü", "\U0001d518/x", "~")


def _bucket(folder: Path) -> Spot:
    bucket = folder / "bucket"
    if not bucket.exists():
        for key in _KEYS:
            file = bucket / key
            (file if key.endswith("/") else file.parent).mkdir(parents=True, exist_ok=True)
            if not key.endswith("/"):
                file.touch()
        (bucket / "nothing" / "inside").mkdir(parents=True)
        (bucket / ".x.0123456789ab.sagebird-part").touch()
        (bucket / "link").symlink_to("a")
        os.close(os.open(os.fsencode(bucket) + b"/\xff", os.O_CREAT))
    return Spot(bucket)


def _expected(prefix: str, after: str, delimiter: str) -> list[str]:
    found: list[str] = []
    for key in sorted(_KEYS, key=str.encode):
        if key.startswith(prefix) and key > after:
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            told = key if at < 0 else key[: at + len(delimiter)]
            if told not in found:
                found.append(told)
    return found


def _walk(tmp_path: Path, prefix: str, after: str, delimiter: str) -> Walk:
    return Walk(_bucket(tmp_path), prefix, after, delimiter, lambda key: key == "d/")


_BEGINNINGS = st.sampled_from(["", "a", "b", "b/", "b/a", "b/c/", "c/", "d", "d/", "nothing/", "x", "é"])


def test_pages_of_any_size_tell_all_there_is_in_order(tmp_path: Path) -> None:
    @given(
        _BEGINNINGS,
        st.sampled_from(["", *_KEYS, "b/a/"]),
        st.sampled_from(["", "/", "a", "/c"]),
        st.integers(1, 4),
    )
    def check(prefix: str, after: str, delimiter: str, size: int) -> None:
        told: list[str] = []
        behind, is_cut = after, True
        while is_cut:
            page = page_of(_walk(tmp_path, prefix, behind, delimiter), size)
            told += sorted([one.key for one in page.objects] + page.prefixes)
            assert len(page.objects) + len(page.prefixes) <= size
            behind, is_cut = page.behind, page.is_cut
        assert told == _expected(prefix, after, delimiter)

    check()


def test_a_page_of_nothing_is_whole(tmp_path: Path) -> None:
    page = page_of(_walk(tmp_path, "", "", ""), 0)
    assert (page.objects, page.is_cut) == ([], False)


def test_what_is_behind_all_of_a_folder_is_what_comes_next(tmp_path: Path) -> None:
    page = page_of(_walk(tmp_path, "", behind_all("b/"), "/"), 2)
    assert [one.key for one in page.objects] + page.prefixes == ["b0", "c/"]
