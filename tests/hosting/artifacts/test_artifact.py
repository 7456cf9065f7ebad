"""Names to paths, and archives to folders, with strangers at the other end."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import ModelFailure, ModelNotFound
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore, changed_s
from service.hosting.artifacts.debris import remove_tree, sweep, unfinished
from service.media.types import PICKLES
from service.objects.resolver import Resolver

LIMITS = Limits(max_bytes=1_000_000, max_members=20, max_ratio=100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path, root: Path) -> ArtifactStore:
    return ArtifactStore([root], tmp_path / "unpacked", LIMITS)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in members:
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return buffer.getvalue()


def files(**contents: bytes) -> bytes:
    return tar(*((member(name), content) for name, content in contents.items()))


def put(root: Path, content: bytes, name: str = "m.tar.gz") -> Path:
    path = root / name
    path.write_bytes(content)
    return path


def refusal(store: ArtifactStore, path: Path) -> str:
    with pytest.raises(ModelFailure) as caught:
        store.open(path)
    return caught.value.message


# ---- buckets


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "s3" / "bucket"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def bucketed(tmp_path: Path, root: Path, bucket: Path) -> ArtifactStore:
    data = tmp_path / "data"
    return ArtifactStore([root, data], tmp_path / "unpacked", LIMITS, resolver=Resolver(data / "s3"))


def test_objects_and_prefixes_lie_below_their_buckets_folder(bucketed: ArtifactStore, bucket: Path) -> None:
    (bucket / "iris" / "1").mkdir(parents=True)
    packed = put(bucket / "iris", b"", "model.tar.gz")

    assert bucketed.resolve("s3://bucket/iris/model.tar.gz") == packed
    assert bucketed.resolve("https://bucket.s3.amazonaws.com/iris/model.tar.gz") == packed
    assert bucketed.resolve("s3://bucket/iris/1/") == bucket / "iris" / "1"
    assert bucketed.resolve("s3://bucket") == bucket
    assert bucketed.resolve("s3://bucket/") == bucket


def test_a_buckets_address_never_leads_out_of_the_bucket(
    bucketed: ArtifactStore, bucket: Path, root: Path, tmp_path: Path
) -> None:
    (root / "secret").mkdir()
    (bucket.parent / "other" / "model").mkdir(parents=True)
    (bucket / "link").symlink_to(root / "secret")
    (tmp_path / "elsewhere").mkdir()
    (bucket.parent / "linked").symlink_to(tmp_path / "elsewhere")
    for location in [
        "s3://bucket/../other/model",
        "s3://bucket/../../../models/secret",
        "s3://bucket/link",
        "s3://linked/",
        "s3://linked",
        "s3://bucket//etc",
        "s3://nobody/model",
        "s3://bucket/nothing",
        "s3://../data",
    ]:
        with pytest.raises(ModelNotFound, match=r"There is no model '.+' in the model folder"):
            bucketed.resolve(location)


def test_an_address_means_the_same_to_models_and_to_jobs(bucketed: ArtifactStore, bucket: Path) -> None:
    (bucket / "iris" / "1").mkdir(parents=True)
    (bucket / "latest").symlink_to("iris/1")
    put(bucket / "iris", b"", "model.tar.gz")
    resolver = Resolver(bucket.parent)

    for address in (
        "s3://bucket/iris/model.tar.gz",
        "s3://bucket/iris/1/",
        "s3://bucket/latest",
        "s3://bucket",
    ):
        path = resolver.locate(address)
        assert bucketed.resolve(address) == path.objects.fetch(path.key)
        assert resolver.bucket_at(bucketed.resolve(address)) == "bucket"
    assert resolver.folder("bucket") == bucket


@pytest.mark.parametrize("key", ["\ud800", "a\0b", "x" * 300, "x/" * 600, "..", "loop"])
def test_a_key_that_no_file_can_have_is_no_model(bucketed: ArtifactStore, bucket: Path, key: str) -> None:
    (bucket / "loop").symlink_to("loop")

    with pytest.raises(ModelNotFound, match=r"There is no model '.+' in the model folder"):
        bucketed.resolve(f"s3://bucket/{key}")


def test_without_buckets_no_address_is_found(store: ArtifactStore) -> None:
    with pytest.raises(ModelNotFound):
        store.resolve("s3://bucket/iris")


def test_the_version_of_a_location_changes_with_its_files(bucketed: ArtifactStore, bucket: Path) -> None:
    put(bucket, b"1")
    first = bucketed.version_of("s3://bucket/m.tar.gz")
    assert bucketed.version_of("s3://bucket/m.tar.gz") == first
    put(bucket, b"22")
    assert bucketed.version_of("s3://bucket/m.tar.gz") != first
    with pytest.raises(ModelNotFound):
        bucketed.version_of("s3://bucket/x.tar.gz")


# ---- resolve


def test_a_name_an_absolute_path_and_a_file_address_find_the_same_folder(
    store: ArtifactStore, root: Path
) -> None:
    (root / "iris one").mkdir()
    locations: list[str | Path] = [
        "iris one",
        root / "iris one",
        f"file://{root}/iris%20one",
        f"file://localhost{root}/iris one",
    ]
    for location in locations:
        assert store.resolve(location) == root / "iris one"


def test_a_path_relative_to_the_current_folder_is_found(
    store: ArtifactStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "iris").mkdir()
    monkeypatch.chdir(root.parent)
    assert store.resolve("models/iris") == root / "iris"
    assert store.resolve("./models/../models/iris") == root / "iris"


def test_archive_and_folder_stand_in_for_each_other(store: ArtifactStore, root: Path) -> None:
    (root / "folder").mkdir()
    packed = put(root, b"", "packed.tgz")
    for name in ["folder", "folder.tar.gz", "folder.tgz"]:
        assert store.resolve(name, within=root) == root / "folder"
    assert store.resolve("packed") == packed


def test_an_archive_wins_over_the_folder_when_named_in_full(store: ArtifactStore, root: Path) -> None:
    (root / "x").mkdir()
    assert store.resolve("x.tar.gz", within=root) == root / "x"
    packed = put(root, b"", "x.tar.gz")
    assert store.resolve("x.tar.gz", within=root) == packed
    assert store.resolve("x", within=root) == root / "x"


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../../b",
        "in/../in",
        "x\0y",
        "n" * 1025,
        "n" * 1000,
        "",
        ".",
        "./",
        "/",
        "..",
        "\udcff\0",
    ],
)
def test_a_target_name_that_leaves_the_folder_is_not_found(
    store: ArtifactStore, root: Path, name: str
) -> None:
    (root / "in").mkdir()
    with pytest.raises(ModelNotFound):
        store.resolve(name, within=root)


def test_a_root_is_a_location_but_no_target_name(store: ArtifactStore) -> None:
    root = store.resolve(".")
    with pytest.raises(ModelNotFound):
        store.resolve(".", within=root)


@pytest.mark.parametrize(
    "location", ["s3://bucket/m", "file://elsewhere/models", "http://x/y", "/", "file:///%00"]
)
def test_a_location_that_is_no_local_path_below_a_root_is_not_found(
    store: ArtifactStore, location: str
) -> None:
    with pytest.raises(ModelNotFound):
        store.resolve(location)


def test_outside_and_missing_are_told_in_the_same_words(store: ArtifactStore, root: Path) -> None:
    there, not_there = root.parent / "there", root.parent / "nowhere"
    there.mkdir()
    messages = []
    for path in (there, not_there):
        with pytest.raises(ModelNotFound) as caught:
            store.resolve(path)
        messages.append(caught.value.message.replace(path.name, "X")[-30:])
    assert messages[0] == messages[1]


def test_links_may_not_lead_out_of_the_root_nor_out_of_the_folder(store: ArtifactStore, root: Path) -> None:
    for folder in (root / "many" / "real", root / "other", root.parent / "outside"):
        folder.mkdir(parents=True)
    (root / "many" / "near").symlink_to("real")
    (root / "many" / "far").symlink_to(root / "other")
    (root / "many" / "out").symlink_to(root.parent / "outside")
    (root / "many" / "loop").symlink_to("loop")

    assert store.resolve("near", within=root / "many") == root / "many" / "real"
    assert store.resolve("many/far") == root / "other"
    for name in ("far", "out", "loop"):
        with pytest.raises(ModelNotFound):
            store.resolve(name, within=root / "many")


def test_within_outside_of_the_roots_finds_nothing(store: ArtifactStore, root: Path) -> None:
    (root.parent / "outside" / "x").mkdir(parents=True)
    with pytest.raises(ModelNotFound):
        store.resolve("x", within=root.parent / "outside")


def test_other_files_are_no_models(store: ArtifactStore, root: Path) -> None:
    put(root, b"", "model.joblib")
    with pytest.raises(ModelNotFound):
        store.resolve("model.joblib")


# ---- fingerprint, size, list


def test_the_fingerprint_follows_names_sizes_and_times(store: ArtifactStore, root: Path) -> None:
    folder = root / "m"
    (folder / "code").mkdir(parents=True)
    script = folder / "code" / "inference.py"
    seen = [store.fingerprint(folder)]
    script.write_text("a")
    seen.append(store.fingerprint(folder))
    os.utime(script, ns=(1, 1))
    seen.append(store.fingerprint(folder))
    script.rename(folder / "inference.py")
    seen.append(store.fingerprint(folder))
    (folder / "link").symlink_to("nowhere")
    seen.append(store.fingerprint(folder))
    assert len(set(seen)) == len(seen)

    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("")
    assert store.fingerprint(folder) == seen[-1]
    assert store.size_bytes(folder) == 1


def test_the_fingerprint_of_an_archive_follows_its_bytes(store: ArtifactStore, root: Path) -> None:
    path = put(root, b"1")
    first = store.fingerprint(path)
    put(root, b"12")
    assert store.fingerprint(path) != first
    assert store.size_bytes(path) == 2


def test_too_many_files_stop_the_walk(store: ArtifactStore, root: Path) -> None:
    for number in range(LIMITS.max_members + 1):
        put(root, b"", str(number))
    with pytest.raises(ModelFailure, match="'models' holds more than 20 files"):
        store.fingerprint(root)


def test_what_is_missing_or_no_folder_is_told(store: ArtifactStore, root: Path) -> None:
    listing = partial(store.list_models, endings=PICKLES)
    for ask in (store.fingerprint, store.size_bytes, store.open, listing):
        with pytest.raises(ModelNotFound):
            ask(root / "missing")
    with pytest.raises(ModelFailure, match="cannot be read"):
        store.list_models(put(root, b""), PICKLES)


def test_models_are_listed_two_deep(store: ArtifactStore, root: Path) -> None:
    for name in [
        "a/model.joblib",
        "b/x.pkl",
        "c/inference.py",
        "sub/d/code/inference.py",
        "sub/deep/e/model.pkl",
    ]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    for name in ["f.tar.gz", "sub/g.tgz", "notes.txt", ".hidden.tar.gz"]:
        put(root, b"", name)
    (root / "empty").mkdir()
    (root / "linked").symlink_to("a")
    (root / "out").symlink_to(root.parent)
    os.mkfifo(root / "pipe")

    names = store.list_models(root, PICKLES)

    assert names == ["a", "b", "c", "f.tar.gz", "linked", "sub/d", "sub/g.tgz"]
    assert all(store.resolve(name, within=root) for name in names)


# ---- open


def test_a_folder_opens_as_itself(store: ArtifactStore, root: Path) -> None:
    assert store.open(root) == root


def test_an_archive_is_unpacked_with_plain_modes(store: ArtifactStore, root: Path) -> None:
    odd = member("./code/inference.py")
    odd.mode, odd.uid = 0o4777, 12345
    content = tar(
        (member(".", tarfile.DIRTYPE), b""), (member("./code", tarfile.DIRTYPE), b""), (odd, b"x = 1")
    )

    folder = store.open(put(root, gzip.compress(content)))

    assert (folder / "code" / "inference.py").read_bytes() == b"x = 1"
    assert (folder / "code" / "inference.py").stat().st_mode & 0o7111 == 0
    assert folder.stat().st_uid == os.getuid()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_long_names_and_files_without_folder_members_are_unpacked(store: ArtifactStore, root: Path) -> None:
    name = "/".join(["deep" * 20] * 3) + "/ü"
    folder = store.open(put(root, gzip.compress(files(**{name: b"1" * 700_000, "empty": b""}))))
    assert (folder / name).stat().st_size == 700_000


def test_an_archive_is_unpacked_again_only_after_a_change(store: ArtifactStore, root: Path) -> None:
    path = put(root, gzip.compress(files(a=b"1")))
    first = store.open(path)
    (first / "mark").write_text("")
    assert (store.open(path) / "mark").exists()
    put(root, gzip.compress(files(a=b"other")))
    second = store.open(path)
    assert (second / "a").read_bytes() == b"other"
    assert first.exists()


def test_versions_that_nobody_opened_for_an_hour_are_removed(store: ArtifactStore, root: Path) -> None:
    path = put(root, gzip.compress(files(a=b"1")))
    first = store.open(path)
    os.utime(first, (1, 1))
    put(root, gzip.compress(files(a=b"other")))
    assert store.open(path).exists()
    assert not first.exists()


def test_many_threads_unpack_one_folder(store: ArtifactStore, root: Path) -> None:
    path = put(root, gzip.compress(files(**{f"f{number}": b"x" * 10_000 for number in range(15)})))
    barrier = Barrier(8)

    def work(_: int) -> Path:
        barrier.wait()
        return store.open(path)

    with ThreadPoolExecutor(8) as pool:
        (folder,) = set(pool.map(work, range(8)))

    assert sorted(inner.stat().st_size for inner in folder.iterdir()) == [10_000] * 15
    assert [inner.name for inner in folder.parent.iterdir()] == [folder.name]


def test_gzip_in_several_parts_is_one_archive(store: ArtifactStore, root: Path) -> None:
    content = files(a=b"1" * 2000)
    folder = store.open(put(root, gzip.compress(content[:1000]) + gzip.compress(content[1000:])))
    assert (folder / "a").stat().st_size == 2000


def sparse() -> bytes:
    info = member("s")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "999999"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    return buffer.getvalue()


HOSTILE = {
    "traversal": (tar((member("../evil"), b"x")), "'../evil', which lies outside"),
    "inner traversal": (tar((member("a/../../evil"), b"x")), "which lies outside"),
    "absolute": (tar((member("/tmp/evil"), b"x")), "which lies outside"),
    "backslash": (tar((member("a\\..\\evil"), b"x")), "which lies outside"),
    "symbolic link": (
        tar((member("l", tarfile.SYMTYPE, "a"), b""), (member("l/x"), b"x")),
        "which lies below a link",
    ),
    "hard link": (tar((member("l", tarfile.LNKTYPE, "/etc/passwd"), b"")), "'l', which is a link"),
    "device": (tar((member("d", tarfile.CHRTYPE), b"")), "neither a plain file nor a folder"),
    "pipe": (tar((member("p", tarfile.FIFOTYPE), b"")), "neither a plain file nor a folder"),
    "sparse": (sparse(), "neither a plain file nor a folder"),
    "no name": (tar((member("."), b"x")), "holds a file without a name"),
    "duplicate": (tar((member("a"), b"1"), (member("./a"), b"2")), "holds './a' twice"),
    "file then folder": (tar((member("a"), b"1"), (member("a", tarfile.DIRTYPE), b"")), "holds 'a' twice"),
    "file below file": (tar((member("a"), b"1"), (member("a/b"), b"")), "holds 'a/b', where a file and"),
    "file deep below file": (tar((member("a"), b"1"), (member("a/b/c"), b"")), "holds 'a/b/c', where a file"),
    "folder then file": (tar((member("a/b"), b"1"), (member("a"), b"")), "holds 'a', where a file and a"),
    "too many": (files(**{str(number): b"" for number in range(21)}), "holds more than 20 members"),
    "too large": (files(a=b"1" * 600_000, b=b"1" * 600_000), "holds more than 1000000 bytes"),
    "damaged header": (files(a=b"1")[:1024] + b"junk" * 128, "a header is damaged"),
    "cut header": (files(a=b"1")[:1024] + b"\0" * 100, "a header is damaged"),
    "cut content": (files(a=b"1" * 2000)[:1024], "is not a readable gzip tar archive: "),
    "not tar": (b"junk" * 500, "is not a readable gzip tar archive: "),
    "nothing": (b"", "is not a readable gzip tar archive: empty file"),
    "second archive": (files(a=b"1") + files(b=b"2"), "more files or other bytes behind its end"),
    "endless end": (files(a=b"1") + b"\0" * 2**21, "too much behind its end"),
}


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    store: ArtifactStore, root: Path, tmp_path: Path, case: str
) -> None:
    content, words = HOSTILE[case]
    message = refusal(store, put(root, gzip.compress(content)))
    assert message.startswith("m.tar.gz ")
    assert words in message
    assert list((tmp_path / "unpacked").rglob("*")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "unpacked"]


def test_a_header_that_claims_gigabytes_is_not_read(store: ArtifactStore, root: Path) -> None:
    header = member("x", tarfile.XHDTYPE, size=2**33 - 1).tobuf()
    assert "header that is too long" in refusal(store, put(root, gzip.compress(header + b"\0" * 2**21)))


def test_headers_pointing_backwards_are_refused(store: ArtifactStore, root: Path) -> None:
    header = bytearray(member("x", b"Z", size=1).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xf0\x00"
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:]))
    assert "m.tar.gz" in refusal(store, put(root, gzip.compress(bytes(header) + b"\0" * 1024)))


def test_a_chain_of_headers_is_refused(store: ArtifactStore, root: Path) -> None:
    chain = member("x", tarfile.XGLTYPE).tobuf() * 1900
    assert "not a readable gzip tar" in refusal(store, put(root, gzip.compress(chain + files(a=b"1"))))


def test_a_bomb_is_refused_by_its_ratio_before_its_bytes_are_written(tmp_path: Path, root: Path) -> None:
    store = ArtifactStore([root], tmp_path / "unpacked", Limits(2**40, 10, 1000))
    path = put(root, gzip.compress(member("zeros", size=101 * 2**20).tobuf()))
    assert "unpacks to more than 1000 times its size" in refusal(store, path)


@pytest.mark.parametrize(
    "change", [lambda b: b[:-20], lambda b: b[:30], lambda b: b[:-8] + b"\0" * 8, lambda b: b + b"junk"]
)
def test_damaged_gzip_is_refused(store: ArtifactStore, root: Path, change: Callable[[bytes], bytes]) -> None:
    content = change(gzip.compress(files(a=os.urandom(5000))))
    assert "is not a readable gzip tar archive: " in refusal(store, put(root, content))


def test_a_plain_tar_is_not_gzip(store: ArtifactStore, root: Path) -> None:
    assert "Not a gzipped file" in refusal(store, put(root, files(a=b"1")))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, root: Path) -> None:
    (tmp_path / "unpacked").write_text("a file")
    store = ArtifactStore([root], tmp_path / "unpacked" / "x", LIMITS)
    path = put(root, gzip.compress(files(a=b"1")))
    assert "m.tar.gz could not be unpacked: Not a directory" in refusal(store, path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2047), byte=st.integers(0, 255))
def test_a_changed_byte_never_ends_in_another_error(
    store: ArtifactStore, root: Path, at: int, byte: int
) -> None:
    content = bytearray(files(a=b"1" * 100, **{"b/c": b"2"}))
    content[at] = byte
    path = put(root, gzip.compress(bytes(content)))
    with suppress(ModelFailure):
        assert store.open(path).is_dir()
    assert [left.name for left in root.parent.rglob(".new-*")] == []


# ---- links inside of archives


def linked(*links: tuple[str, str], kind: bytes = tarfile.SYMTYPE) -> bytes:
    blob = member("blobs/4f2a")
    return gzip.compress(tar((blob, b"deep"), *((member(name, kind, to), b"") for name, to in links)))


def test_links_to_what_the_archive_holds_are_kept(store: ArtifactStore, root: Path) -> None:
    links = [
        ("model.joblib", "blobs/4f2a"),
        ("snap/one/x", "../../blobs/4f2a"),
        ("y", "snap/one/x"),
        ("all", "blobs"),
    ]
    folder = store.open(put(root, linked(*links)))

    for name in ("model.joblib", "snap/one/x", "y", "all/4f2a"):
        assert (folder / name).read_bytes() == b"deep"
        assert (folder / name).resolve() == folder / "blobs" / "4f2a"


def test_hard_links_to_what_the_archive_holds_are_kept(store: ArtifactStore, root: Path) -> None:
    folder = store.open(put(root, linked(("snap/x", "blobs/4f2a"), kind=tarfile.LNKTYPE)))

    assert (folder / "snap" / "x").read_bytes() == b"deep"


@pytest.mark.parametrize(
    ("links", "complaint"),
    [
        ([("l", "../elsewhere")], "'l', which is a link that leads out of it"),
        ([("l", "blobs/../../elsewhere")], "'l', which is a link that leads out of it"),
        ([("l", "/etc/passwd")], "'l', which is a link that leads out of it"),
        ([("b", "blobs"), ("a/l", "../b/../../x")], "'a/l', which is a link that leads out of it"),
        ([("l", "nothing")], "'l', which is a link to 'nothing': it is not there"),
        ([("l", "l")], "'l', which is a link to itself"),
        ([("l", "k"), ("k", "l")], "which is a link to itself"),
        ([("blobs/up", "..")], "'blobs/up', which is a link to a folder around it"),
        ([("l", "")], "which is a link that leads out of it"),
    ],
)
def test_links_that_lead_elsewhere_are_refused_by_name(
    store: ArtifactStore, root: Path, links: list[tuple[str, str]], complaint: str
) -> None:
    assert complaint in refusal(store, put(root, linked(*links)))
    assert debris(root) == []


# ---- what a refused archive leaves


def debris(root: Path) -> list[str]:
    unpacked = root.parent / "unpacked"
    return [str(path.relative_to(unpacked)) for path in unpacked.rglob("*")]


def test_folders_within_folders_are_refused_and_leave_nothing(root: Path, tmp_path: Path) -> None:
    store = ArtifactStore([root], tmp_path / "unpacked", Limits(10**6, 10_000, 100))
    nested = [(member("/".join("a" * depth), tarfile.DIRTYPE), b"") for depth in range(1, 1500)]

    assert "holds folders more than 64 deep" in refusal(store, put(root, gzip.compress(tar(*nested))))
    assert debris(root) == []


@pytest.mark.parametrize("name", ["n" * 256, "/".join(["n" * 250] * 10)])
def test_names_that_are_too_long_are_refused(store: ArtifactStore, root: Path, name: str) -> None:
    assert "holds a name that is too long" in refusal(store, put(root, gzip.compress(files(**{name: b""}))))
    assert debris(root) == []


def test_a_tree_is_removed_however_deep(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    descriptors = [os.open(tmp_path, os.O_RDONLY)]
    try:
        os.mkdir("top", dir_fd=descriptors[0])
        descriptors.append(os.open("top", os.O_RDONLY, dir_fd=descriptors.pop()))
        for _ in range(3000):
            os.mkdir("a" * 20, dir_fd=descriptors[-1])
            os.symlink(tmp_path / "kept", "link", dir_fd=descriptors[-1])
            descriptors.append(os.open("a" * 20, os.O_RDONLY, dir_fd=descriptors[-1]))
            os.close(descriptors.pop(0))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)

    remove_tree(tmp_path / "top")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_killed_processes_left_is_swept_and_what_is_in_use_stays(
    store: ArtifactStore, root: Path
) -> None:
    store.open(put(root, gzip.compress(files(a=b"1"))))
    (place,) = (root.parent / "unpacked").iterdir()
    (place / ".new-left" / "deep").mkdir(parents=True)

    with unfinished(place) as busy:
        assert sweep(place) == 1
        assert busy.is_dir()
        assert len(list(place.iterdir())) == 2
    assert sweep(place) == 0
    assert len(list(place.iterdir())) == 1


def test_unpacked_models_are_their_owners(store: ArtifactStore, root: Path) -> None:
    folder = store.open(put(root, gzip.compress(files(a=b"1"))))

    assert [place.stat().st_mode & 0o077 for place in (folder, folder.parent, folder.parent.parent)] == [
        0,
        0,
        0,
    ]


# ---- where models may come from


@pytest.fixture
def guarded(tmp_path: Path, root: Path, bucket: Path) -> ArtifactStore:
    data = tmp_path / "data"
    for place in ("inbox/x/.failed", "outbox/x"):
        (data / place).mkdir(parents=True)
        (data / place / "inference.py").write_text("")
    return ArtifactStore(
        [root, tmp_path / "data" / "inbox" / "x"],  # even where somebody names it as a place of models
        tmp_path / "unpacked",
        LIMITS,
        resolver=Resolver(data / "s3"),
        trusted=("buck*", "mine"),
        barred=(data / "inbox", data / "outbox"),
    )


@pytest.mark.parametrize(
    "location",
    [
        "data/inbox/x/.failed",
        "./data/s3/../inbox/x/.failed",
        "{data}/inbox/x",
        "file://{data}/inbox/x/.failed",
        "file://localhost{data}/%69nbox/x/.failed/",
        "{data}/outbox/x",
        "link",
        "link/.failed",
        "{root}/link/.failed",
        ".failed",
        "s3://bucket/../../inbox/x",
        "s3://bucket/link",
    ],
)
def test_what_was_dropped_is_no_model_however_it_is_called(
    guarded: ArtifactStore, root: Path, bucket: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    data = bucket.parent.parent
    monkeypatch.chdir(data.parent)
    (root / "link").symlink_to(data / "inbox" / "x")
    (bucket / "link").symlink_to(data / "inbox" / "x")

    with pytest.raises(ModelNotFound):
        guarded.resolve(location.format(data=data, root=root))


def test_a_model_that_reaches_for_dropped_files_or_out_of_its_bucket_is_refused(
    guarded: ArtifactStore, root: Path, bucket: Path
) -> None:
    dropped = bucket.parent.parent / "inbox" / "x" / ".failed" / "inference.py"
    for place in (root, bucket):
        (place / "m" / "code").mkdir(parents=True)
        (place / "m" / "code" / "inference.py").symlink_to(dropped)
    (root / "fine").mkdir()
    (root / "fine" / "model.joblib").symlink_to(root / "m")

    with pytest.raises(ModelFailure, match="which is a link to dropped files"):
        guarded.open(guarded.resolve("m"))
    with pytest.raises(ModelFailure, match="which is a link that leads out of its folder"):
        guarded.open(guarded.resolve("s3://bucket/m"))
    assert guarded.open(guarded.resolve("fine")) == root / "fine"


def test_only_buckets_that_are_trusted_hold_models(guarded: ArtifactStore, bucket: Path) -> None:
    (bucket / "m").mkdir()
    (bucket.parent / "other" / "m").mkdir(parents=True)

    assert guarded.resolve("s3://bucket/m") == bucket / "m"
    assert guarded.resolve(bucket / "m") == bucket / "m"
    with pytest.raises(ModelNotFound, match="Bucket other may hold no models: SAGEBIRD_MODEL_BUCKETS"):
        guarded.resolve("s3://other/m")
    for location in (bucket.parent / "other" / "m", bucket.parent):
        with pytest.raises(ModelNotFound):
            guarded.resolve(location)


def test_a_pipe_is_no_archive_and_nobody_waits_for_it(store: ArtifactStore, root: Path) -> None:
    os.mkfifo(root / "m.tar.gz")

    with pytest.raises(ModelNotFound):
        store.resolve("m.tar.gz")
    with pytest.raises(ModelFailure, match="could not be unpacked: it is no plain file"):
        store.open(root / "m.tar.gz")


def test_when_a_models_files_came_about_is_not_what_copies_say(root: Path) -> None:
    (root / "a" / "sub" / "__pycache__").mkdir(parents=True)
    (root / "a" / "sub" / "one.py").write_text("")
    os.utime(root / "a" / "sub" / "one.py", (0, 0))
    copied_s = changed_s(root / "a")
    assert copied_s >= (root / "a" / "sub" / "one.py").stat().st_ctime > 0.0
    os.chmod(root / "a" / "sub" / "one.py", 0o600)
    assert changed_s(root / "a") == (root / "a" / "sub" / "one.py").stat().st_ctime >= copied_s
    assert changed_s(root / "a" / "sub" / "one.py") == changed_s(root / "a")
    assert changed_s(root / "nothing") == inf
