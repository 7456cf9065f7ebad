"""Workers over a real queue, real files and real processes with the model in them."""

import gc
import json
import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.domain.kinds import Kind
from service.domain.transform.job import JobStage, JobState
from service.hosting.containers.opener import Containers
from service.jobs.heartbeat import SILENT_S
from service.jobs.worker import MOST_ATTEMPTS
from tests.conftest import ROOT, copy_sample, wait_until
from tests.harness.engine import StandIn, stand_in_engine
from tests.harness.image_host import image_host
from tests.jobs.house import House


def test_a_job_is_done_and_says_so(house: House) -> None:
    house.put("a.csv", 1, 2)
    house.put("sub/b.csv", 3)
    house.order()

    house.finish()

    assert house.outputs() == {"a.csv.out": "2\n4\n", "sub/b.csv.out": "6\n"}
    job, state = house.job(), house.state()
    assert (job.status, job.failure_reason) == ("Completed", "")
    assert (state.files, state.failed, state.rows_in, state.rows_out) == (2, 0, 3, 3)
    assert state.started_at == state.ended_at == house.clock.now().timestamp()
    assert house.store.queue.results_of("job") == {}


def test_a_bad_record_fails_its_file_and_the_job_names_both(house: House) -> None:
    house.put("a.csv", 1, "bad", 3)
    house.put("b.csv", 4)
    house.order()

    house.finish()

    assert house.outputs() == {"b.csv.out": "8\n"}
    assert house.job().status == "Failed"
    assert house.job().failure_reason.startswith("1 of 2 files failed: a.csv, record 2: ")
    assert house.state().failed == 1


def test_the_environment_asks_for_quarantine_and_a_report(house: House) -> None:
    house.put("a.csv", 1, "bad", 3)
    switches = ("SAGEBIRD_TRANSFORM_QUARANTINE", "SAGEBIRD_TRANSFORM_REPORT")
    house.order(Environment=dict.fromkeys(switches, "on"))

    house.finish()

    outputs = house.outputs()
    report = json.loads(outputs.pop("_report.json"))
    assert outputs.keys() == {"a.csv.out", "a.csv.rejected"}
    assert outputs["a.csv.out"] == "2\n6\n"
    assert (report["status"], report["rows_in"], report["rejected"]) == ("Completed", 3, 1)
    assert house.job().status == "Completed"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"location": "nobody"}, "There is no model 'nobody' in the model folder."),
        ({"TransformOutput": {"S3OutputPath": "s3://bucket/a/../b"}}, "s3://bucket/a/../b: a key with empty"),
    ],
)
def test_what_no_job_can_be_done_with_is_one_sentence(
    house: House, more: dict[str, str], reason: str
) -> None:
    house.put("a.csv", 1)
    house.order(**more)

    house.finish()

    assert house.job().status == "Failed"
    assert house.job().failure_reason.startswith(reason)
    assert house.state().ended_at


def test_a_job_without_inputs_fails_with_the_prefix(house: House) -> None:
    house.bucket.mkdir(parents=True)
    house.order()

    house.finish()

    assert house.job().failure_reason == "No object's key begins with s3://bucket/in/."


def test_an_obstacle_of_the_model_is_the_jobs_reason(house: House) -> None:
    house.put("a.csv", 1)
    house.order()
    with house.store.change() as change:
        change.put(replace(house.job(), state=JobState("doubles", obstacle="it cannot run here.").write()))

    house.finish()

    assert house.job().failure_reason == "Model doubles: it cannot run here."


def test_a_model_that_vanishes_before_the_work_fails_the_job(house: House) -> None:
    house.put("a.csv", 1)
    house.order()
    worker = house.worker()
    worker.step()
    house.model.rename(house.models / "elsewhere")

    house.finish(worker)

    assert house.job().status == "Failed"
    assert house.job().failure_reason == "There is no model 'doubles' in the model folder."
    assert house.outputs() == {}


def test_a_model_that_changed_since_the_job_began_fails_it(house: House) -> None:
    house.put("a.csv", 1)
    house.order()
    worker = house.worker()
    worker.step()
    (house.model / "new").touch()

    house.finish(worker)

    assert "the files of the model at doubles changed while the job ran" in house.job().failure_reason


def test_an_input_that_vanishes_fails_alone(house: House) -> None:
    house.put("a.csv", 1)
    house.put("b.csv", 2)
    house.order()
    worker = house.worker()
    worker.step()
    (house.bucket / "in" / "a.csv").unlink()

    house.finish(worker)

    assert house.outputs() == {"b.csv.out": "4\n"}
    assert "a.csv cannot be read: No such file or directory." in house.job().failure_reason


def test_an_output_that_cannot_be_written_fails_the_job(house: House) -> None:
    house.put("a.csv", 1)
    house.put("b.csv", 2)
    house.bucket.mkdir(exist_ok=True)
    (house.bucket / "out").write_text("in the way")
    house.order()

    house.finish()

    assert house.job().status == "Failed"
    assert "cannot be written" in house.job().failure_reason
    assert house.job().failure_reason.count(".csv") == 1


def test_a_full_disk_fails_the_job_with_the_file_and_leaves_nothing(house: House) -> None:
    code = (house.model / "inference.py").read_text()
    (house.model / "inference.py").write_text(code.replace('answer + "\\n"', 'answer * 200 + "\\n"'))
    house.put("a.csv", *[12345] * 20_000)
    house.put("b.csv", 1)
    house.order()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, before[1]))

    try:
        house.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert house.job().status == "Failed"
    assert house.job().failure_reason.endswith("out/a.csv.out cannot be written: File too large.")
    assert "a.csv.out" not in house.outputs()
    assert not list((house.bucket / "out").glob(".*"))


def test_a_bad_job_does_not_end_the_others(house: House) -> None:
    house.put("a.csv", 1)
    house.order("bad", TransformInput={})
    house.order("good")
    clock = iter(range(100))
    worker = house.worker(lambda: house.job("good").status == "Completed" or next(clock) > 60)

    worker.run(lambda _: None)

    assert house.job("good").status == "Completed"


def test_a_process_that_dies_of_a_record_fails_its_file(house: House) -> None:
    house.put("a.csv", "die")
    house.put("b.csv", 1)
    house.order()

    house.finish()

    assert house.outputs() == {"b.csv.out": "2\n"}
    assert "a.csv: the process that ran the model died" in house.job().failure_reason


def test_a_task_that_workers_die_of_is_given_up_and_the_others_land(house: House) -> None:
    for name in "ab":
        house.put(f"{name}.csv", 1)
    house.order()
    worker = house.worker()
    worker.step()
    queue = house.store.queue
    for _ in range(2 * MOST_ATTEMPTS + 2):  # whoever gets a.csv dies; the others do their work
        lease = queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S)
        if lease is not None and lease.kind == "settle":
            queue.release(lease)
            break
        if lease is None or (lease.inputs[0].name == "a.csv" and lease.attempts <= MOST_ATTEMPTS):
            house.clock.advance(SILENT_S + 1)
            continue
        queue.release(lease)
        worker.step()

    house.finish(worker)

    assert house.outputs() == {"b.csv.out": "2\n"}
    assert house.job().failure_reason == (
        "1 of 2 files failed: a.csv: the worker died 5 times while it was at this input, so it was given up."
    )


_UNFIT = """
import multiprocessing.spawn
import sys
from pathlib import Path

from service.jobs.pool import NoProcess
from service.jobs.worker import MOST_ATTEMPTS
from tests.jobs.house import House

house = House(Path(sys.argv[1]), None)
house.put("a.csv", "5.1,3.5,1.4,0.2")
house.order(location="iris-logistic")
worker = house.worker()
worker.step()  # the plan
multiprocessing.spawn.set_executable("/bin/false")
for _ in range(2 * MOST_ATTEMPTS):
    try:
        worker.step()
    except NoProcess:
        print("unfit", flush=True)
multiprocessing.spawn.set_executable(sys.executable)
house.finish(worker)
print(house.job().status, house.job().failure_reason, house.outputs())
"""


def test_inputs_are_not_to_blame_where_no_process_can_be_started(tmp_path: Path) -> None:
    copy_sample("iris-logistic", tmp_path / "models" / "iris-logistic")
    command = [sys.executable, "-c", _UNFIT, str(tmp_path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)

    assert told.stdout.splitlines() == ["unfit"] * 2 * MOST_ATTEMPTS + [
        "Completed  {'a.csv.out': '0\\n'}",
    ]


def test_a_job_goes_on_where_a_dead_worker_left_it(house: House) -> None:
    house.put("a.csv", 1)
    house.put("b.csv", 2)
    house.order()
    first = house.worker()
    first.step()
    first.step()
    before = {path: path.stat() for path in (house.bucket / "out").iterdir()}
    assert len(before) == 1
    assert house.store.queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S)  # somebody who dies
    house.store.queue.watch(house.clock.monotonic(), SILENT_S)
    house.clock.advance(SILENT_S + 1)

    house.finish()

    assert house.outputs() == {"a.csv.out": "2\n", "b.csv.out": "4\n"}
    for path, status in before.items():
        after = path.stat()
        assert (after.st_ino, after.st_mtime_ns) == (status.st_ino, status.st_mtime_ns)


def start(house: House, leaving: threading.Event) -> threading.Thread:
    worker = house.worker(leaving.is_set, SystemClock())
    thread = threading.Thread(target=worker.run, args=(leaving.wait,))
    thread.start()
    return thread


def test_stop_during_the_work_leaves_nothing_unfinished(house: House) -> None:
    house.clock.advance(0)
    for name in "abc":
        house.put(f"{name}.csv", 1, "wait" if name == "b" else 2)
    house.order(MaxConcurrentTransforms=1)
    leaving = threading.Event()
    thread = start(house, leaving)
    wait_until(lambda: (house.model / "reached").exists(), 60)

    house.stop()
    wait_until(lambda: house.job().status == "Stopped", 60)
    leaving.set()
    thread.join(60)

    assert house.outputs() == {"a.csv.out": "2\n4\n"}
    assert not [name for _, _, names in os.walk(house.bucket) for name in names if name.startswith(".")]
    assert house.job().failure_reason == ""


def test_a_worker_that_leaves_gives_back_what_it_is_at(house: House) -> None:
    house.put("a.csv", "wait")
    house.order()
    leaving = threading.Event()
    thread = start(house, leaving)
    wait_until(lambda: (house.model / "reached").exists(), 60)

    leaving.set()
    thread.join(60)
    assert house.outputs() == {}
    lease = house.store.queue.claim(house.clock.now(), house.clock.monotonic(), SILENT_S)
    assert lease is not None
    assert (lease.kind, lease.attempts) == ("work", 1)
    house.store.queue.release(lease)
    (house.model / "go").touch()
    with house.store.change() as change:  # the two files that the model made are no change of it
        job = change.get(Kind.TRANSFORM_JOB, "job")
        assert job is not None
        version = house.bench.artifacts.fingerprint(Path(house.model))
        change.put(replace(job, state=JobState.read(job.state).write(version=version)))
    house.finish()

    assert house.outputs() == {"a.csv.out": "0\n"}


def test_a_job_that_is_stopped_before_it_began_is_stopped(house: House) -> None:
    house.put("a.csv", 1)
    house.order()
    house.stop()

    house.finish()

    assert house.job().status == "Stopped"
    assert house.outputs() == {}


def test_a_stop_that_comes_when_all_is_done_does_not_undo_it(house: House) -> None:
    house.put("a.csv", 1)
    house.order()
    worker = house.worker()
    worker.step()
    worker.step()

    house.stop()
    house.finish(worker)

    assert house.job().status == "Completed"


def images(engine: StandIn, house: House, containers: Containers) -> None:
    """Have jobs of the house run an image that answers rows backwards."""
    engine.add(
        "mine/app:1",
        parameters=b'{"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD"}',
        invoke=lambda _box, body: (200, body.strip()[::-1] + b"\n"),
    )
    house.bench = replace(house.bench, containers=containers)


def test_an_image_is_called_as_its_own_parameters_say_and_ends_with_the_job(tmp_path: Path) -> None:
    with stand_in_engine() as engine, image_host(engine.environ) as containers:
        house = House(tmp_path, containers)
        images(engine, house, containers)
        house.put("a.csv", 12, 34, 56)
        house.order(TransformOutput={"S3OutputPath": "s3://bucket/out", "AssembleWith": "Line"})
        with house.store.change() as change:
            change.put(replace(house.job(), state=JobState("", image="mine/app:1").write()))

        house.finish()

        assert house.job().failure_reason == ""
        assert house.outputs() == {"a.csv.out": "21\n43\n65\n"}
        (box,) = engine.made
        assert "SAGEMAKER_BATCH=true" in box.config["Env"]
        gc.collect()
        wait_until(lambda: not engine.boxes, 60)
        house.store.close()


def test_an_image_in_a_pipeline_answers_for_its_part(tmp_path: Path) -> None:
    with stand_in_engine() as engine, image_host(engine.environ) as containers:
        house = House(tmp_path, containers)
        images(engine, house, containers)
        house.put("a.csv", 12)
        house.order()
        stages = (JobStage("one", "", image="mine/app:1"), JobStage("two", "doubles"))
        with house.store.change() as change:
            change.put(replace(house.job(), state=JobState("", stages=stages).write()))

        house.finish()

        assert house.job().failure_reason == ""
        assert house.outputs() == {"a.csv.out": "42\n"}
        house.store.close()
