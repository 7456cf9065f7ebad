"""Jobs with a model in a container that is called over HTTP."""

import itertools
import json
import threading
from typing import Any

import pytest

from service.errors import ModelUnreachable
from tests.conftest import free_port
from tests.jobs.conftest import Bench, Container

LINES: dict[str, Any] = {"content_type": "text/csv", "accept": "text/plain", "split_type": "Line"}


@pytest.mark.provenance("documented")
def test_a_container_is_pinged_then_asked_for_its_parameters_then_invoked(
    bench: Bench, container: Container
) -> None:
    bench.put("a.csv", "1\n2\n")

    outcome = bench.run(container.url, **LINES)

    assert [(method, path) for method, path, _, _ in container.calls] == [
        ("GET", "/ping"),
        ("GET", "/execution-parameters"),
        ("POST", "/invocations"),
    ]
    _, _, body, headers = container.calls[-1]
    assert (body, headers["Content-Type"], headers["Accept"]) == (b"1\n2\n", "text/csv", "text/plain")
    assert (outcome.status, bench.out("a.csv")) == ("Completed", b"1\n2\n")


@pytest.mark.provenance("documented")
def test_the_containers_parameters_count_where_the_job_has_none(bench: Bench, container: Container) -> None:
    container.parameters = json.dumps(
        {"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}
    ).encode()
    bench.put("a.csv", "".join(f"{n}\n" for n in range(9)))
    gate = threading.Barrier(3, timeout=30)

    def answer(body: bytes) -> tuple[int, bytes]:
        gate.wait()  # passes only where three calls are under way at once
        return 200, body

    container.answer = answer
    bench.run(container.url, assemble_with="Line", **LINES)

    assert sorted(container.bodies()) == sorted(str(n).encode() for n in range(9))
    assert container.most_at_once == 3
    assert bench.out("a.csv") == b"".join(b"%d\n" % n for n in range(9))


@pytest.mark.parametrize(
    "parameters", [b"no json", b"[1]", b'{"MaxConcurrentTransforms": "many", "MaxPayloadInMB": -1}', b""]
)
def test_parameters_that_make_no_sense_are_none(
    bench: Bench, container: Container, parameters: bytes
) -> None:
    container.parameters = parameters
    bench.put("a.csv", "1\n2\n")

    bench.run(container.url, **LINES)

    assert container.bodies() == [b"1\n2\n"]


@pytest.mark.provenance("documented")
def test_server_errors_are_tried_again_and_client_errors_are_not(bench: Bench, container: Container) -> None:
    statuses = iter([500, 503, 200, 400])
    container.answer = lambda body: (next(statuses), b"sorry" if body == b"2\n" else b"done")
    bench.put("a.csv", "1\n")
    bench.put("b.csv", "2\n")

    outcome = bench.run(container.url, **LINES)

    assert bench.out("a.csv") == b"done"
    assert outcome.reason == "1 of 2 files failed: b.csv, record 1: sorry."
    assert container.bodies() == [b"1\n"] * 3 + [b"2\n"]


def test_a_container_that_keeps_failing_is_asked_as_often_as_allowed(
    bench: Bench, container: Container
) -> None:
    container.answer = lambda _: (500, b"broken")
    bench.put("a.csv", "1\n")

    outcome = bench.run(container.url, max_retries=1, **LINES)

    assert outcome.files[0].error == "a.csv, record 1: broken."
    assert len(container.bodies()) == 2


def test_the_bad_record_of_a_batch_is_searched_for(bench: Bench, container: Container) -> None:
    container.answer = lambda body: (400, b"13 is unlucky") if b"13\n" in body else (200, body)
    bench.put("a.csv", "".join(f"{n}\n" for n in range(10, 100)))

    outcome = bench.run(container.url, **LINES)

    assert outcome.files[0].error == "a.csv, record 4: 13 is unlucky."


@pytest.mark.provenance("documented")
def test_a_slow_container_times_out_and_is_tried_again(bench: Bench, container: Container) -> None:
    release = threading.Event()
    turns = itertools.count()

    def answer(body: bytes) -> tuple[int, bytes]:
        if next(turns) == 0:
            release.wait(30)
        return 200, body

    container.answer = answer
    bench.put("a.csv", "1\n")
    try:
        outcome = bench.run(container.url, timeout_s=1, max_retries=2, **LINES)
    finally:
        release.set()

    assert outcome.status == "Completed"
    assert bench.out("a.csv") == b"1\n"


def test_without_retries_a_time_out_fails_the_file(bench: Bench, container: Container) -> None:
    release = threading.Event()
    container.answer = lambda body: (200, body if release.wait(30) else b"")
    bench.put("a.csv", "1\n")
    try:
        outcome = bench.run(container.url, timeout_s=1, max_retries=0, **LINES)
    finally:
        release.set()

    assert outcome.files[0].error == "a.csv: no answer within 1 s."


@pytest.mark.provenance("documented")
def test_payload_zero_streams_the_file_in_chunks(bench: Bench, container: Container) -> None:
    container.answer = lambda body: (200, str(len(body)).encode())
    bench.put("a.bin", b"x" * 7_000_000)

    bench.run(container.url, max_payload_in_mb=0, assemble_with="Line")

    assert bench.out("a.bin") == b"7000000\n"
    assert container.calls[-1][3]["Transfer-Encoding"] == "chunked"


def test_a_container_that_is_not_there_or_not_healthy_ends_the_job(
    bench: Bench, container: Container
) -> None:
    bench.put("a.csv", "1\n")
    container.healthy = False
    with pytest.raises(ModelUnreachable, match="is not healthy: /ping answers 503"):
        bench.run(container.url, **LINES)
    with pytest.raises(ModelUnreachable, match="cannot be reached"):
        bench.run(f"http://127.0.0.1:{free_port()}", **LINES)


def test_quarantine_does_not_take_a_dead_container_for_bad_records(
    bench: Bench, container: Container
) -> None:
    bench.put("a.csv", "1\n2\n3\n")
    release = threading.Event()
    container.answer = lambda body: (200, body if release.wait(30) else b"")
    try:
        outcome = bench.run(container.url, timeout_s=1, max_retries=0, quarantine=True, **LINES)
    finally:
        release.set()

    assert outcome.status == "Failed"
    assert bench.written() == []


def test_joins_and_filters_work_over_http(bench: Bench, container: Container) -> None:
    container.answer = lambda body: (200, b"".join(b"%d\n" % len(line) for line in body.splitlines()))
    bench.put("a.csv", "id1,aaa\nid2,b\n")

    bench.run(
        container.url,
        content_type="text/csv",
        accept="text/csv",
        split_type="Line",
        assemble_with="Line",
        input_filter="$[1:]",
        join_source="Input",
        output_filter="$[0,-1]",
    )

    assert bench.out("a.csv") == b"id1,3\nid2,1\n"
