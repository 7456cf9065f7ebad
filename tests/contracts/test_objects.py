"""What everything that keeps objects has to hold, run on each of them."""

import errno
import os
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from service.errors import ObjectChanged, ObjectFault, ObjectUnreadable
from service.objects.objects import ABSENT, ObjectPath, Objects, find, is_written, read_chunks, sync
from service.objects.resolver import Afar, Resolver
from tests.harness.s3_server import Elsewhere, elsewhere

MANY = 1_001  # one more than S3 tells in a page

PLACES: Mapping[str, Callable[[Path], str]] = MappingProxyType(
    {"bucket": lambda _: "s3://bucket", "folder": lambda folder: str(folder / "mine"), "server": lambda _: ""}
)


@dataclass(frozen=True)
class Place:
    """Where objects of a kind are: what addresses mean there, and the server that has them, if one does."""

    resolver: Resolver
    address: str
    server: Elsewhere | None = None

    def fill(self, names: list[str]) -> None:
        """Put empty objects there, as quickly as that can be."""
        if self.server is None:
            folder = self.resolver.locate(self.address).objects.path("")
        else:
            folder = self.server.buckets and self.server.buckets / self.address.removeprefix("s3://")
        for name in names:
            if folder is None:  # of a server of others
                put(self.resolver.locate(self.address) / name, b"")
            else:
                (folder / name).touch()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One of each kind."""
    if request.param != "server":
        resolver = Resolver(tmp_path / "s3", allow_paths=True)
        return Place(resolver, PLACES[request.param](tmp_path))
    server = elsewhere(request.getfixturevalue("samples"))
    resolver = Resolver(tmp_path / "s3", afar=Afar(server.server, tmp_path / "copies"))
    return Place(resolver, f"s3://{server.new_bucket()}", server)


@pytest.fixture
def top(place: Place) -> ObjectPath:
    """Objects of a kind, with one among them that nobody asks for: a place that is not there is none."""
    found = place.resolver.locate(place.address)
    put(found / "zzz", b"")
    return found


@pytest.fixture
def objects(top: ObjectPath) -> Objects:
    return top.objects


def put(path: ObjectPath, data: bytes) -> str:
    """Write an object; its version."""
    with path.objects.write(path.key) as sink:
        sink.write(data)
        return sink.version


def _is_text(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def keys(objects: Objects, prefix: str) -> list[str]:
    return [each.key for each in objects.list(prefix)]


def body(path: ObjectPath) -> bytes:
    return b"".join(read_chunks(path))


# ---- lists


def test_a_prefix_is_a_beginning_of_keys_and_they_come_in_order(
    place: Place, top: ObjectPath, objects: Objects
) -> None:
    in_order = place.server is None or place.server.buckets is not None  # others put folders first
    for key in ("in/b", "in/a/2", "in-2/c", "in/a/10", "in.txt", "in/B", "in/ü", "other"):
        put(top / key, key.encode())

    found = keys(objects, "in")
    assert (found if in_order else sorted(found)) == [
        *("in-2/c", "in.txt", "in/B", "in/a/10", "in/a/2", "in/b", "in/ü")
    ]
    assert keys(objects, "in/") == ["in/B", "in/a/10", "in/a/2", "in/b", "in/ü"]
    assert keys(objects, "in/a") == ["in/a/10", "in/a/2"]
    assert keys(objects, "in/a/2") == ["in/a/2"]
    assert keys(objects, "nothing/deep") == []
    assert keys(objects, "")[-2:] == ["other", "zzz"]


def test_a_list_is_whole_however_long_it_is(place: Place, top: ObjectPath, objects: Objects) -> None:
    names = [f"{number:04}" for number in range(MANY)]
    place.fill(names)

    assert keys(objects, "") == [*names, "zzz"]


def test_list_and_stat_tell_the_same(top: ObjectPath, objects: Objects) -> None:
    version = put(top / "in/a", b"four")

    (listed,) = objects.list("in/")

    assert (listed.key, listed.size_bytes, listed.version) == ("in/a", 4, version)
    assert objects.stat("in/a") == find(top / "in/a") == listed


def test_what_is_not_there_is_none_and_cannot_be_read(top: ObjectPath, objects: Objects) -> None:
    put(top / "in/a", b"")
    gone = top / "in/b"

    assert objects.stat(gone.key) is None
    missing = f"{gone} cannot be read: {os.strerror(errno.ENOENT)}."
    for ask in (lambda: find(gone), lambda: body(gone), lambda: objects.fetch(gone.key)):
        with pytest.raises(ObjectUnreadable) as caught:
            ask()
        assert caught.value.message == missing
    for no_object in ("in", "in/a/deeper"):
        with suppress(ObjectFault):
            assert objects.stat(no_object) is None
        with pytest.raises(ObjectFault):
            body(top / no_object)


# ---- reading


@pytest.mark.parametrize(
    ("start", "size", "found"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (8, 4, b"89"), (10, 1, b""), (99, 1, b""), (5, 0, b"")],
)
def test_a_range_is_read_and_no_more_than_there_is(
    top: ObjectPath, objects: Objects, start: int, size: int, found: bytes
) -> None:
    put(top / "digits", b"0123456789")

    with objects.open("digits") as reader:
        assert reader.read(start, size) == found


def test_who_reads_goes_on_with_what_was_opened_or_not_at_all(
    place: Place, top: ObjectPath, objects: Objects
) -> None:
    first = put(top / "a", b"first")

    with objects.open("a") as reader:
        second = put(top / "a", b"other")
        assert (reader.version, reader.size_bytes) == (first, 5)
        if place.server is None:
            assert reader.read(0, 9) == b"first"
        else:
            with pytest.raises(ObjectUnreadable, match="another one has come in its place"):
                reader.read(0, 9)
    with objects.open("a") as reader:
        assert (reader.version, reader.read(0, 9)) == (second, b"other")


def test_what_is_fetched_can_be_read_on_this_machine(top: ObjectPath, objects: Objects) -> None:
    put(top / "model/code/inference.py", b"x = 1")

    assert objects.fetch("model/code/inference.py").read_bytes() == b"x = 1"
    folder = objects.fetch("model")
    assert (folder / "code" / "inference.py").read_bytes() == b"x = 1"
    assert (objects.fetch("") / "model" / "code" / "inference.py").read_bytes() == b"x = 1"
    assert objects.fetched("model") == folder
    assert objects.fetched("nothing") is None


@pytest.mark.parametrize("place", ["server"], indirect=True)  # in our folders, a folder stays one
def test_what_is_fetched_may_become_a_folder_and_a_file_again(top: ObjectPath, objects: Objects) -> None:
    for gone, there in (("zzz", "m/a"), ("m/a", "m/a/b/c"), ("m/a/b/c", "m/a/b"), ("m/a/b", "m/a")):
        objects.remove(gone)
        put(top / there, there.encode())

        folder = objects.fetch("m").parent
        assert [str(each.relative_to(folder)) for each in folder.glob("m/**/*") if each.is_file()] == [there]
        assert (folder / there).read_bytes() == there.encode()


@pytest.mark.parametrize("key", ["m/.lock", "m/.lock/model", "m/.part-1", "m/.part-1/model"])
def test_what_is_fetched_may_be_called_as_what_keeps_others_out(
    top: ObjectPath, objects: Objects, key: str
) -> None:
    put(top / key, b"one")
    asked = "/".join(key.split("/")[:2])

    for _ in range(2):
        fetched = objects.fetch(asked)
        assert (fetched / "model" if key.endswith("model") else fetched).read_bytes() == b"one"


# ---- writing


def test_an_object_has_its_key_whole_when_its_block_ends(top: ObjectPath, objects: Objects) -> None:
    path = top / "deep/er/out"

    with objects.write(path.key) as sink:
        sink.write(b"one")
        before = sink.version
        assert objects.stat(path.key) is None
        assert keys(objects, "deep/") == []
        sink.write(b"two")
        assert sink.version != before
        told = sink.version
    sync([path.parent])

    assert body(path) == b"onetwo"
    assert find(path).version == told
    assert keys(objects, "deep/") == ["deep/er/out"]


def test_a_block_that_fails_leaves_what_was_there(top: ObjectPath, objects: Objects) -> None:
    version = put(top / "out", b"old")

    for key in ("out", "new"):
        with pytest.raises(KeyboardInterrupt), objects.write(key) as sink:  # noqa: PT012
            sink.write(b"unfinished")
            raise KeyboardInterrupt

    assert keys(objects, "") == ["out", "zzz"]
    assert (body(top / "out"), find(top / "out").version) == (b"old", version)


def test_no_two_writes_have_one_version(place: Place, top: ObjectPath) -> None:
    """Same key, same size, one right after the other: the time that a file system keeps would not do."""
    number_of_writes = 100 if place.server is None else 10
    versions = [put(top / "a", b"%03d" % number) for number in range(number_of_writes)]

    assert len(set(versions)) == len(versions)
    assert ABSENT not in versions


def test_what_is_kept_gets_the_next_number(top: ObjectPath, objects: Objects) -> None:
    told = []
    for text in (b"1", b"2", b"3"):
        with objects.write("june.csv.gz.out", keep=True) as sink:
            sink.write(text)
            told.append(sink.version)

    found = {key: body(top / key) for key in keys(objects, "june")}
    assert found == {"june.csv.gz.out": b"1", "june-2.csv.gz.out": b"2", "june-3.csv.gz.out": b"3"}
    assert all(is_written(top / "june.csv.gz.out", version) for version in told)


def test_an_object_is_put_where_none_is(top: ObjectPath, objects: Objects) -> None:
    with objects.write("a", expected=ABSENT) as sink:
        sink.write(b"mine")

    with (
        pytest.raises(ObjectChanged, match="has changed meanwhile"),
        objects.write("a", expected=ABSENT) as sink,
    ):
        sink.write(b"theirs")

    assert body(top / "a") == b"mine"
    assert keys(objects, "") == ["a", "zzz"]


def test_an_object_is_put_where_that_version_is(top: ObjectPath, objects: Objects) -> None:
    first = put(top / "a", b"first")
    with objects.write("a", expected=first) as sink:
        sink.write(b"again")

    for key, expected in (("a", first), ("b", first)):
        with pytest.raises(ObjectChanged), objects.write(key, expected=expected) as sink:
            sink.write(b"late!")

    assert body(top / "a") == b"again"
    assert keys(objects, "") == ["a", "zzz"]


def test_of_many_who_put_at_once_one_does(top: ObjectPath, objects: Objects) -> None:
    def write(name: int, expected: str) -> bool:
        try:
            with objects.write("a", expected=expected) as sink:
                sink.write(b"%d" % name)
        except ObjectChanged:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for expected in (ABSENT, None):
            before = find(top / "a").version if expected is None else expected
            # What is there already is written by nobody: to S3 it would be the same version.
            names = range(8) if expected is ABSENT else range(8, 16)
            won = list(pool.map(write, names, [before] * 8))
            assert won.count(True) == 1
            assert body(top / "a") == b"%d" % names[won.index(True)]


def test_what_is_removed_is_gone_and_may_be_gone_already(top: ObjectPath, objects: Objects) -> None:
    put(top / "in/a", b"")

    for _ in range(2):
        objects.remove("in/a")

    assert objects.stat("in/a") is None


def test_what_is_written_is_known_by_its_version_wherever_it_got_its_name(
    place: Place, top: ObjectPath
) -> None:
    first = put(top / "a.out", b"1")
    assert is_written(top / "a.out", first)

    again = b"1" if place.server is None else b"2"  # of the same bytes it does not matter which is there
    assert put(top / "a.out", again) != first
    assert not is_written(top / "a.out", first)
    assert not is_written(top / "b.out", first)
    assert not is_written(top / "b.out", ABSENT)


def test_a_write_that_is_withdrawn_fails_and_no_other(top: ObjectPath, objects: Objects) -> None:
    put(top / "a", b"old")

    with objects.write("a") as other:
        other.write(b"other")
        with pytest.raises(ObjectFault) as caught, objects.write("a") as late:  # noqa: PT012
            late.write(b"late!")
            objects.withdraw("a", late.version)
            assert body(top / "a") == b"old"

    assert caught.value.writing
    assert body(top / "a") == b"other"


def test_what_is_being_written_is_not_cleared_away(top: ObjectPath, objects: Objects) -> None:
    with objects.write("in/a") as sink:
        sink.write(b"x")
        objects.clear("in")
        objects.clear("")

    assert body(top / "in/a") == b"x"


# ---- names


@pytest.mark.parametrize(
    "name",
    ["a b", "ä/€/😀", "a%2Fb", "-rf", "a\nb", "a\\b", "*?[x]", "s3:", "a.", "b..a", "x" * 200, "\udce9"],
)
def test_a_key_may_be_any_name(place: Place, top: ObjectPath, objects: Objects, name: str) -> None:
    if place.server is not None and not _is_text(name):
        pytest.skip("keys of S3 are UTF-8")
    path = top / "in" / name
    version = put(path, name.encode(errors="surrogateescape"))

    assert body(path) == name.encode(errors="surrogateescape")
    assert keys(objects, "in/") == [path.key]
    assert find(path).version == version
    assert path.parent == top / "in" / name.rpartition("/")[0] if "/" in name else path.parent == top / "in"
    assert path.name == name.rpartition("/")[2]
    str(path).encode()


@pytest.mark.parametrize(
    "key", ["..", "../zzz", "in/../zzz", "/etc/passwd", "in//a", "./zzz", "in/", "a\0b", "\ud800"]
)
def test_what_is_no_key_leads_nowhere(objects: Objects, key: str) -> None:
    asks: tuple[Callable[[], object], ...] = (
        lambda: objects.stat(key),
        lambda: objects.fetch(key),
        lambda: objects.remove(key),
        lambda: objects.open(key).__enter__(),
        lambda: objects.write(key).__enter__(),
    )
    for ask in asks:
        with pytest.raises(ObjectFault):
            ask()


def test_objects_are_the_same_in_another_process_and_by_their_address(place: Place, top: ObjectPath) -> None:
    path = top / "in/a"
    put(path, b"x")

    there = pickle.loads(pickle.dumps(path))

    assert there == path
    assert there.address == path.address
    found = place.resolver.locate(path.address)
    assert (body(found), str(found), found.name) == (b"x", str(path), "a")


def test_what_lies_below_is_known_whichever_way_both_are_called(top: ObjectPath, tmp_path: Path) -> None:
    assert (top / "in/a").is_below(top / "in")
    assert (top / "in").is_below(top)
    assert not (top / "in-2").is_below(top / "in")
    assert not (top / "in").is_below(top / "in")
    folder = top.objects.path("in")
    if folder is not None:
        found = Resolver(tmp_path / "elsewhere", allow_paths=True).locate(str(folder))
        assert (top / "in/a").is_below(found)
        assert (found / "a").is_below(top / "in")


# ---- what others put there


def test_nothing_leads_out(tmp_path: Path) -> None:
    """Of buckets: who names a folder of his own may have links there."""
    top = Resolver(tmp_path / "s3").locate("s3://bucket")
    put(top / "in/a", b"mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("theirs")
    folder = top.objects.fetch("in")
    (folder / "file").symlink_to(outside / "secret")
    (folder / "folder").symlink_to(outside)
    os.mkfifo(folder / "pipe")

    assert keys(top.objects, "") == ["in/a"]
    for name in ("file", "folder/secret", "pipe"):
        path = top / "in" / name
        asks: list[Callable[[], object]] = [lambda path=path: find(path), lambda path=path: body(path)]  # type: ignore[misc]  # a default that holds the loop's value
        if name != "pipe":
            asks.append(lambda path=path: top.objects.fetch(path.key))  # type: ignore[misc]  # likewise
        for ask in asks:
            with pytest.raises(ObjectUnreadable):
                ask()
    with pytest.raises(ObjectFault):
        put(top / "in/folder/new", b"x")
    assert put(top / "in/file", b"new") == find(top / "in/file").version
    assert [file.read_text() for file in outside.iterdir()] == ["theirs"]
