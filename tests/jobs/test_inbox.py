"""The drop folder: a file becomes one job and one output, whoever looks and however often."""

import os
from pathlib import Path

import pytest

from service.control.resources import OperationContext, Resources
from service.control.transform_jobs import create_drop_job
from service.domain.caller import Caller
from service.domain.kinds import Kind
from service.domain.transform.job import Drop
from service.errors import Unavailable
from service.jobs.inbox import Inbox
from tests.jobs.house import House


class DropFolder:
    """The drop folder of a house; every inbox over it is one more worker's."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.folder = house.data / "inbox"
        self.outbox = house.data / "outbox"
        self.model = self.folder / "doubles"
        self.model.mkdir(parents=True)

    def inbox(self) -> Inbox:
        context = OperationContext(Caller("000000000000", "us-east-1"), self.house.clock)

        def order(drop: Drop) -> None:
            with self.house.store.change() as change:
                create_drop_job(Resources(change, context), drop)

        return Inbox(self.folder, self.outbox, self.house.store, order)

    def jobs(self) -> list[str]:
        return [job.name for job in self.house.store.of_kind(Kind.TRANSFORM_JOB)]

    def outputs(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.outbox)): path.read_text()
            for path in self.outbox.rglob("*")
            if path.is_file()
        }

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def folder(house: House) -> DropFolder:
    return DropFolder(house)


def test_a_dropped_file_becomes_an_output_and_is_put_away(folder: DropFolder) -> None:
    inbox = folder.inbox()
    (folder.model / "a.csv").write_text("1\n2\n")

    inbox.look()
    assert folder.jobs() == []
    inbox.look()
    inbox.look()
    assert len(folder.jobs()) == 1
    assert folder.files() == ["doubles/a.csv"]
    folder.house.finish()
    inbox.look()

    assert folder.outputs() == {"doubles/a.csv.out": "2\n4\n"}
    assert folder.files() == ["doubles/.done/a.csv"]
    inbox.look()
    assert len(folder.jobs()) == 1


def test_a_file_that_waits_is_told_once_for_each_reason(
    folder: DropFolder, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = ["The disk is full.", "The disk is full.", "The database is locked.", "The disk is full.", ""]

    def order(drop: Drop) -> None:
        if reason := reasons.pop(0):
            raise Unavailable(reason)

    inbox = Inbox(folder.folder, folder.outbox, folder.house.store, order)
    (folder.model / "a.csv").write_text("1\n")
    for _ in range(6):
        inbox.look()

    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    told = [(event["file"], event["reason"]) for event in events if event["event"] == "dropped file waits"]
    assert reasons == []
    assert told == [
        ("doubles/a.csv", reason)
        for reason in ("The disk is full.", "The database is locked.", "The disk is full.")
    ]


def test_a_file_that_still_grows_is_left_alone(folder: DropFolder) -> None:
    inbox = folder.inbox()
    file = folder.model / "a.csv"

    for text in ("1", "1\n", "1\n2"):
        file.write_text(text)
        inbox.look()
    assert folder.jobs() == []
    inbox.look()

    assert len(folder.jobs()) == 1


@pytest.mark.parametrize("name", [".a.csv", "a.csv.part", ".done/a.csv"])
def test_names_of_unfinished_files_are_overlooked(folder: DropFolder, name: str) -> None:
    inbox = folder.inbox()
    (folder.model / name).parent.mkdir(exist_ok=True)
    (folder.model / name).write_text("1\n")
    (folder.folder / "beside.csv").write_text("1\n")

    for _ in range(3):
        inbox.look()

    assert folder.jobs() == []


def test_a_file_that_is_renamed_into_place_is_taken(folder: DropFolder) -> None:
    inbox = folder.inbox()
    (folder.model / "a.csv.part").write_text("1\n")
    inbox.look()
    (folder.model / "a.csv.part").rename(folder.model / "a.csv")

    inbox.look()
    inbox.look()

    assert len(folder.jobs()) == 1


def test_a_file_that_fails_is_put_away_with_the_reason(folder: DropFolder) -> None:
    inbox = folder.inbox()
    (folder.model / "a.csv").write_text("1\nbad\n")

    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    assert folder.outputs() == {}
    assert folder.files() == ["doubles/.failed/a.csv", "doubles/.failed/a.csv.reason"]
    reason = (folder.model / ".failed" / "a.csv.reason").read_text()
    assert reason.startswith("1 of 1 files failed: a.csv, record 2: ")


@pytest.mark.parametrize(
    ("name", "says"), [("c.xlsx", True), ("c", True), ("c.CSV", False), ("c.csv.gz", False)]
)
def test_a_reason_says_where_the_ending_tells_no_type(folder: DropFolder, name: str, says: bool) -> None:
    inbox = folder.inbox()
    (folder.model / name).write_text("bad\n")

    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    told = (
        "tells no type, so it was taken as JSON; these tell one: .csv, .json, .jsonl, .jsonlines, each also"
    )
    assert (told in (folder.model / ".failed" / f"{name}.reason").read_text()) == says


def test_a_file_beside_the_folders_of_models_is_told_once(
    folder: DropFolder, caplog: pytest.LogCaptureFixture
) -> None:
    (folder.folder / "june.csv").write_text("1\n")
    inbox = folder.inbox()

    for _ in range(3):
        inbox.look()

    told = [record.getMessage() for record in caplog.records if "june.csv" in record.getMessage()]
    assert len(told) == 1
    assert "put it into inbox/MODEL/" in told[0]
    assert folder.files() == ["june.csv"]


@pytest.mark.parametrize("letter", ["a", "\u00e9"], ids=["ascii", "utf-8"])
def test_a_name_without_room_for_an_ending_has_a_reason_too(folder: DropFolder, letter: str) -> None:
    inbox = folder.inbox()
    name = letter * ((250 - len(".csv")) // len(letter.encode())) + ".csv"
    (folder.model / name).write_text("bad\n")

    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    assert (folder.model / ".failed" / name).is_file()
    [reason] = (folder.model / ".failed").glob("*.reason")
    assert reason.name.startswith(letter * 100)
    assert "record 1: " in reason.read_text()


def test_an_ending_in_capitals_tells_the_type(folder: DropFolder) -> None:
    inbox = folder.inbox()
    (folder.model / "A.CSV").write_text("1\n2\n")

    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    assert folder.outputs() == {"doubles/A.CSV.out": "2\n4\n"}


def test_a_file_that_is_dropped_again_is_done_again(folder: DropFolder) -> None:
    inbox = folder.inbox()
    (folder.model / "a.csv").write_text("1\nbad\n")
    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()
    inbox.look()

    (folder.model / ".failed" / "a.csv").rename(folder.model / "a.csv")
    (folder.house.model / "inference.py").write_text(
        (folder.house.model / "inference.py")
        .read_text()
        .replace('"bad"', '"worse"')
        .replace("float(first)", "7")
    )
    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    assert len(folder.jobs()) == 2
    assert folder.outputs() == {"doubles/a.csv.out": "14\n14\n"}
    assert folder.files() == ["doubles/.done/a.csv"]


def test_two_workers_make_one_job_of_a_file(folder: DropFolder) -> None:
    one, two = folder.inbox(), folder.inbox()
    (folder.model / "a.csv").write_text("1\n")

    for inbox in (one, two, one, two):
        inbox.look()
    folder.house.finish()
    for inbox in (one, two):
        inbox.look()

    assert len(folder.jobs()) == 1
    assert folder.files() == ["doubles/.done/a.csv"]


def test_a_worker_that_was_started_anew_finds_the_job_of_a_file(folder: DropFolder) -> None:
    first = folder.inbox()
    (folder.model / "a.csv").write_text("1\n")
    first.look()
    first.look()
    folder.house.finish()

    second = folder.inbox()
    second.look()
    second.look()

    assert len(folder.jobs()) == 1
    assert folder.files() == ["doubles/.done/a.csv"]


def test_a_file_that_cannot_be_put_away_does_not_stop_the_others(folder: DropFolder) -> None:
    inbox = folder.inbox()
    for name in ("a.csv", "b.csv"):
        (folder.model / name).write_text("1\n")
    (folder.folder / "doubles" / ".done").write_text("in the way")

    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    assert folder.files() == ["doubles/.done", "doubles/a.csv", "doubles/b.csv"]
    assert folder.outputs().keys() == {"doubles/a.csv.out", "doubles/b.csv.out"}


def test_without_a_drop_folder_there_is_nothing_to_do(house: House) -> None:
    Inbox(house.data / "inbox", house.data / "outbox", house.store, lambda _: None).look()


def test_the_watch_goes_on_after_a_bad_look_and_ends_when_told(house: House) -> None:
    looks: list[float] = []
    folder = house.data / "inbox"
    folder.write_text("no folder")

    def rest(seconds: float) -> bool:
        looks.append(seconds)
        return len(looks) > 3

    Inbox(folder, house.data / "outbox", house.store, lambda _: None).run(rest)

    assert looks == [1.0] * 4


# ---- what others put there


def test_links_pipes_and_hard_links_are_left_where_they_are(folder: DropFolder) -> None:
    outside = folder.house.data.parent / "outside"
    outside.mkdir()
    (outside / "private.csv").write_text("1\n")
    (folder.folder / "linked").symlink_to(outside)
    (folder.model / "link.csv").symlink_to(outside / "private.csv")
    (folder.model / "hard.csv").hardlink_to(outside / "private.csv")
    folder.model.chmod(0o777)
    os.mkfifo(folder.model / "pipe.csv")
    (folder.model / "good.csv").write_text("1\n")

    inbox = folder.inbox()
    for _ in range(3):
        inbox.look()
    folder.house.finish()
    inbox.look()

    assert len(folder.jobs()) == 1
    assert folder.outputs() == {"doubles/good.csv.out": "2\n"}
    assert sorted(file.name for file in outside.rglob("*")) == ["private.csv"]
    assert sorted(file.name for file in folder.model.glob("*.csv")) == ["hard.csv", "link.csv", "pipe.csv"]


@pytest.mark.parametrize("place", ["inbox/doubles/.done", "outbox/doubles", "inbox/doubles/.failed"])
def test_nothing_is_moved_or_written_over_a_link(folder: DropFolder, place: str) -> None:
    outside = folder.house.data.parent / "outside"
    outside.mkdir()
    link = folder.house.data / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    for name, text in (("a.csv", "1\n"), ("b.csv", "bad\n")):
        (folder.model / name).write_text(text)

    inbox = folder.inbox()
    for _ in range(2):
        inbox.look()
    folder.house.finish()
    for _ in range(2):
        inbox.look()

    assert list(outside.iterdir()) == []


def test_a_second_file_of_a_name_takes_neither_the_place_of_the_first_nor_of_its_output(
    folder: DropFolder,
) -> None:
    inbox = folder.inbox()
    for text in ("1\n", "2\n", "bad\n", "bad,2\n"):
        (folder.model / "june.csv").write_text(text)
        inbox.look()
        inbox.look()
        folder.house.finish()
        inbox.look()

    assert folder.outputs() == {"doubles/june.csv.out": "2\n", "doubles/june-2.csv.out": "4\n"}
    kept = {name: (folder.folder / name).read_text() for name in folder.files() if "reason" not in name}
    assert kept == {
        "doubles/.done/june.csv": "1\n",
        "doubles/.done/june-2.csv": "2\n",
        "doubles/.failed/june.csv": "bad\n",
        "doubles/.failed/june-2.csv": "bad,2\n",
    }
    assert (folder.model / ".failed" / "june-2.csv.reason").exists()


def test_a_second_file_that_comes_while_the_first_is_worked_on_is_kept_too(folder: DropFolder) -> None:
    inbox = folder.inbox()
    for text in ("1\n", "2\n"):
        (folder.model / "june.csv").unlink(missing_ok=True)
        (folder.model / "june.csv").write_text(text)
        inbox.look()
        inbox.look()
    folder.house.finish()
    inbox.look()

    assert len(folder.jobs()) == 2
    assert sorted(folder.outputs().values()) == ["4\n", "4\n"]
    assert folder.files() == ["doubles/.done/june.csv"]


def test_a_reason_says_where_and_quotes_nothing_of_the_file(folder: DropFolder) -> None:
    inbox = folder.inbox()
    (folder.house.model / "inference.py").write_text(
        (folder.house.model / "inference.py").read_text().replace('"this row is bad"', "text")
    )
    (folder.model / "a.csv").write_text("1\nbad,hunter2\n")
    inbox.look()
    inbox.look()
    folder.house.finish()
    inbox.look()

    reason = (folder.model / ".failed" / "a.csv.reason").read_text()
    (job,) = folder.jobs()
    assert reason == f"1 of 1 files failed: a.csv, record 2: `sagebird jobs {job}` says why.\n"


def test_names_that_are_not_utf8_stop_nobody(folder: DropFolder) -> None:
    odd = os.fsencode(folder.folder) + b"/mod\xe9l"
    os.mkdir(odd)
    Path(os.fsdecode(odd + b"/a.csv")).write_text("1\n")
    for name in (b"caf\xe9.csv", b"good.csv", b"new\nline.csv"):
        Path(os.fsdecode(os.fsencode(folder.model) + b"/" + name)).write_text("1\n")

    inbox = folder.inbox()
    for _ in range(2):
        inbox.look()
    folder.house.finish()
    inbox.look()

    assert {os.fsencode(name) for name in folder.outputs()} == {
        b"doubles/caf\xe9.csv.out",
        b"doubles/good.csv.out",
        b"doubles/new\nline.csv.out",
    }
    assert os.listdir(odd) == [b".failed"]
    assert sorted(os.listdir(odd + b"/.failed")) == [b"a.csv", b"a.csv.reason"]


def test_answers_may_be_read_by_whom_the_drop_folder_is_open_to(folder: DropFolder) -> None:
    folder.folder.chmod(0o755)
    inbox = folder.inbox()
    (folder.model / "a.csv").write_text("1\n")
    before = os.umask(0o077)
    try:
        inbox.look()
        inbox.look()
        folder.house.finish()
    finally:
        os.umask(before)

    places = [folder.outbox, folder.outbox / "doubles", folder.outbox / "doubles" / "a.csv.out"]
    assert [place.stat().st_mode & 0o777 for place in places] == [
        0o755,
        0o755,
        0o644,
    ]
