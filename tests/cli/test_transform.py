"""`sagebird transform` as people and scripts meet it: a real process, stopped and killed at any moment."""

import json
import os
import pty
import random
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, wait_until

pytestmark = pytest.mark.family

ROW, OTHER = "5.1,3.5,1.4,0.2\n", "6.7,3.0,5.2,2.3\n"
OPTIONS = (
    *(
        "model",
        "input",
        "output",
        "s3-data-type",
        "content-type",
        "header",
        "accept",
        "compression-type",
        "split-type",
    ),
    *("assemble-with", "batch-strategy", "max-payload-in-mb", "max-concurrent-transforms", "environment"),
    *("input-filter", "output-filter", "join-source", "invocations-timeout-in-seconds"),
    *("invocations-max-retries", "quarantine", "report"),
)
CSV = ["--accept", "text/csv", "--split-type", "Line", "--assemble-with", "Line"]

SLOW = """
import pathlib, time
def model_fn(model_dir): return pathlib.Path(model_dir)
def transform_fn(model, data, content_type, accept):
    if "slow" in data:
        (model / "reached").touch()
        time.sleep(60)
    return data, accept
"""


def command(folder: Path, *arguments: str, model: str = "iris-logistic") -> list[str]:
    words = ["--model", model, "--input", str(folder / "in"), "--output", str(folder / "out")]
    return [
        sys.executable,
        "-m",
        "service.cli",
        "transform",
        *words,
        "--data",
        str(folder / "data"),
        *arguments,
    ]


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAGE")}
    return {**inherited, "COLUMNS": "200", "NO_COLOR": "1"}


def run(folder: Path, *arguments: str, **options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(folder, *arguments, **options),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").rglob("*")) if (folder / "out").exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(ROW + OTHER)
    (tmp_path / "in" / "b.csv").write_text(OTHER)
    return tmp_path


def test_a_folder_is_transformed_and_summed_up(folder: Path) -> None:
    done = run(folder, *CSV, "--report")

    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "out" / "a.csv.out").read_text() == "0\n2\n"
    assert written(folder) == ["_report.json", "a.csv.out", "b.csv.out"]
    assert re.search(r"Completed after .* rows/s\): 2 of 2 files, 3 rows in, 3 rows out\n", done.stdout)
    assert json.loads((folder / "out" / "_report.json").read_text())["rows_out"] == 3


def test_whole_files_are_counted_as_requests_and_a_type_is_asked_for(folder: Path) -> None:
    done = run(folder, "--accept", "text/csv")
    assert re.search(r"requests/s\): 2 of 2 files, 2 requests\n", done.stdout)
    assert "rows" not in done.stdout

    for path in (folder / "in").iterdir():
        path.rename(path.with_suffix(".txt"))
    done = run(folder, "--accept", "text/csv")
    assert (done.returncode, "--content-type text/plain" in done.stderr) == (1, True)


def test_every_option_of_the_api_has_its_name_in_kebab_case() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "service.cli", "transform", "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    missing = [option for option in OPTIONS if f"--{option} " not in shown]

    assert missing == []


def test_a_header_is_insisted_on(folder: Path) -> None:
    names = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"
    (folder / "in" / "a.csv").write_text(names + ROW)

    (folder / "in" / "b.csv").unlink()
    assert run(folder, *CSV, "--header").returncode == 0
    assert (folder / "out" / "a.csv.out").read_text() == "0\n"

    (folder / "in" / "a.csv").write_text(ROW)
    done = run(folder, *CSV, "--header")
    assert (done.returncode, "the header lacks the column 'sepal length (cm)'" in done.stderr) == (1, True)
    done = run(folder, *CSV, "--content-type", "application/json", "--header")
    assert (done.returncode, done.stderr) == (
        1,
        "sagebird: --header is about text/csv, not application/json.\n",
    )


def test_a_bad_record_is_told_and_the_command_fails(folder: Path) -> None:
    (folder / "in" / "b.csv").write_text(ROW + "x,1,2,3\n")

    done = run(folder, *CSV)

    assert done.returncode == 1
    assert done.stderr == "sagebird: 1 of 2 files failed: b.csv, record 2: column 1: 'x' is not a number.\n"
    assert re.search(r"Failed after .*: 1 of 2 files", done.stdout)
    assert written(folder) == ["a.csv.out"]


def test_quarantine_makes_it_succeed(folder: Path) -> None:
    (folder / "in" / "b.csv").write_text(ROW + "x,1,2,3\n")

    done = run(folder, *CSV, "--quarantine")

    assert done.returncode == 0, done.stderr
    assert written(folder) == ["a.csv.out", "b.csv.out", "b.csv.rejected"]


def test_buckets_joins_filters_and_variables_work_from_the_command_line(folder: Path) -> None:
    bucket = folder / "data" / "s3" / "bucket"
    (bucket / "raw").mkdir(parents=True)
    (bucket / "raw" / "a.csv").write_text("id1," + ROW + "id2," + OTHER)
    words = ["--input", "s3://bucket/raw", "--output", "s3://bucket/scored", "--content-type", "text/csv"]
    more = ["--input-filter", "$[1:]", "--join-source", "Input", "--output-filter", "$[0,-1]"]

    done = run(folder, *words, *more, *CSV, "--environment", "MINE=a=b", "--max-concurrent-transforms", "1")

    assert done.returncode == 0, done.stderr
    assert (bucket / "scored" / "a.csv.out").read_text() == "id1,0\nid2,2\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--split-type", "Lines"], "SplitType must be"),
        (["--join-source", "Input", "--split-type", "Line"], "needs AssembleWith to equal SplitType"),
        (["--environment", "NAME"], "write NAME=VALUE"),
        (["--model", "no-such-model"], "There is no model 'no-such-model'"),
        (["--model", "iris"], "iris is an endpoint; name its model: iris-forest or iris-logistic."),
        (["--model", "/no/such/folder"], "There is no model"),
        (["--model", "http://127.0.0.1:9"], "cannot be reached"),
        (["--model", "http://127.0.0.1:9", "--environment", "A=b"], "a container that is already running"),
        (["--input", "/no/such/folder"], "There is no file or folder /no/such/folder"),
        (["--input", "s3://bucket/x"], "There is no bucket bucket"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    folder: Path, arguments: list[str], reason: str
) -> None:
    done = run(folder, *arguments)

    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.startswith("sagebird: ")
    assert done.stderr.count("\n") == 1
    assert written(folder) == []


def test_a_disk_that_takes_no_more_ends_the_job_and_leaves_nothing(folder: Path) -> None:
    (folder / "in" / "b.csv").write_text(OTHER * 100_000)

    done = subprocess.run(
        command(folder, *CSV),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )

    assert done.returncode == 1
    assert "b.csv.out cannot be written: File too large" in done.stderr
    assert written(folder) == ["a.csv.out"]


def test_a_terminal_sees_a_progress_bar(folder: Path) -> None:
    terminal, inside = pty.openpty()
    (folder / "in" / "b.csv").write_text(OTHER * 200_000)

    with subprocess.Popen(
        command(folder, *CSV),
        cwd=ROOT,
        env={**environment(), "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=inside,
    ) as process:
        os.close(inside)
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
    os.close(terminal)

    assert process.returncode == 0
    assert b"/2 files" in shown
    assert b"rows/s" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that nobody holds the other end any more
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_leaves_whole_outputs_only(folder: Path, number: signal.Signals) -> None:
    model = folder / "model"
    model.mkdir()
    (model / "inference.py").write_text(SLOW)
    (folder / "in" / "b.csv").write_text("1,2\n" * 500_000 + "slow\n" + "1,2\n" * 500_000)
    words = [*CSV, "--max-payload-in-mb", "1", "--max-concurrent-transforms", "1"]

    with subprocess.Popen(
        command(folder, *words, model=str(model)),
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: (model / "reached").exists(), 60)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said == "sagebird: stopped; 1 files are whole, nothing else was written.\n"
    assert written(folder) == ["a.csv.out"]
    wait_until(lambda: not any(child.is_running() for child in family))


def test_a_killed_job_leaves_no_partial_output_and_the_next_run_makes_all(folder: Path) -> None:
    names = [f"{number}.csv" for number in range(6)]
    for name in names:
        (folder / "in" / name).write_text((ROW + OTHER) * 60_000)
    moments = random.Random(4)
    whole = b"0\n2\n" * 60_000

    for _ in range(4):
        with subprocess.Popen(
            command(folder, *CSV), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL
        ) as process:
            wait_until(
                lambda: process.poll() is not None or any("-part" in name for name in written(folder)),
                60,
            )
            for _ in range(moments.randrange(200)):
                os.sched_yield()
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
        wait_until(lambda: not any(child.is_running() for child in family))  # noqa: B023
        for name in names:
            output = folder / "out" / f"{name}.out"
            assert not output.exists() or output.read_bytes() == whole

    assert run(folder, *CSV).returncode == 0
    assert written(folder) == sorted(f"{name}.out" for name in ["a.csv", "b.csv", *names])
    assert all((folder / "out" / f"{name}.out").read_bytes() == whole for name in names)
