"""The drop folder: a file becomes one job and one output, whoever looks and however often."""

import pytest

from service.arn import Arns
from service.control.resources import Context, Resources
from service.control.transform_jobs import create_drop_job
from service.domain.kinds import Kind
from service.domain.transform.job import Drop
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
        context = Context(Arns("000000000000", "us-east-1"), self.house.clock)

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
