"""Processes that work on batches: they die, hang and are replaced, and nothing is lost."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.domain.transform.options import TransformOptions
from service.errors import ModelFault
from service.jobs.pool import Item, ProcessPool
from service.jobs.process import LocalModelOpener
from service.jobs.work import Done, Failed
from tests.conftest import wait_until
from tests.harness.containers import model_host
from tests.jobs.conftest import ECHO, Bench

OPTIONS = TransformOptions(content_type="text/csv", accept="text/csv", split_type="Line", max_retries=0)
CSV: dict[str, Any] = {"content_type": "text/csv", "accept": "text/csv", "split_type": "Line"}


def pool_of(bench: Bench, model: Path, count: int = 2, options: TransformOptions = OPTIONS) -> ProcessPool:
    containers = bench.containers.for_job(count, options.timeout_s)
    return ProcessPool(LocalModelOpener(model, {"MINE": "yes"}, options, False, containers=containers), count)


def items(count: int) -> Iterator[Item]:
    return (Item(number, b"%d\n" % number) for number in range(count))


def outputs(pool: ProcessPool, count: int) -> list[bytes]:
    done = []
    for _, result in pool.results(items(count)):
        assert isinstance(result, Done), result
        done.append(result.output)
    return done


SLOW_FIRST = """
import time
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    if data == "0\\n": time.sleep(0.2)
    return data, accept
"""


@pytest.mark.parametrize("count", [1, 2, 4])
def test_results_come_in_the_order_of_the_batches(bench: Bench, count: int) -> None:
    with closing(pool_of(bench, bench.model(SLOW_FIRST), count)) as pool:
        assert outputs(pool, 40) == [b"%d\n" % number for number in range(40)]


def test_only_a_few_batches_are_taken_ahead(bench: Bench) -> None:
    taken = []

    def counted() -> Iterator[Item]:
        for item in items(100):
            taken.append(item)
            yield item

    with (
        closing(pool_of(bench, bench.model(SLOW_FIRST))) as pool,
        closing(pool.results(counted())) as results,
    ):
        next(results)
        assert len(taken) < 10


def test_steps_without_a_batch_keep_their_place(bench: Bench) -> None:
    steps = [Item(0, b"0\n"), Item(0), Item(1, fault="broken"), Item(2), Item(3, b"1\n")]

    with closing(pool_of(bench, bench.model(SLOW_FIRST))) as pool:
        found = list(pool.results(iter(steps)))

    assert [item for item, _ in found] == steps
    assert [result is None for _, result in found] == [False, True, True, True, False]


def test_large_batches_both_ways_do_not_block(bench: Bench) -> None:
    data = b"x" * 3_000_000 + b"\n"

    with closing(pool_of(bench, bench.model(ECHO))) as pool:
        found = [result for _, result in pool.results(Item(n, data) for n in range(8))]

    assert all(isinstance(result, Done) and result.output == data for result in found)


def test_a_model_that_does_not_load_is_told_once(bench: Bench) -> None:
    with pytest.raises(ModelFault, match="no such luck"):
        pool_of(bench, bench.model("def model_fn(model_dir): raise ValueError('no such luck')"))


def test_a_model_that_dies_while_loading_is_told(bench: Bench) -> None:
    with pytest.raises(ModelFault, match="the process of model model ended while it loaded"):
        pool_of(bench, bench.model("import os\nos._exit(9)\ndef model_fn(model_dir): pass"))


DIES_ON_7 = """
import os, pathlib
def model_fn(model_dir): return pathlib.Path(model_dir)
def transform_fn(model, data, content_type, accept):
    if data == "7\\n" and not (model / "died").exists():
        (model / "died").touch()
        os._exit(9)
    return data, accept
"""


def test_a_process_that_dies_is_replaced_and_its_batches_are_done(bench: Bench) -> None:
    with closing(pool_of(bench, bench.model(DIES_ON_7))) as pool:
        assert outputs(pool, 20) == [b"%d\n" % number for number in range(20)]


def test_a_batch_that_kills_its_process_twice_fails_alone(bench: Bench) -> None:
    script = DIES_ON_7.replace('and not (model / "died").exists()', "")

    with closing(pool_of(bench, bench.model(script))) as pool:
        found = [result for _, result in pool.results(items(20))]

    assert [number for number, result in enumerate(found) if not isinstance(result, Done)] == [7]
    assert isinstance(found[7], Failed)
    assert "died" in found[7].reason
    assert "tried twice" in found[7].reason


def test_a_job_outlives_the_death_of_its_processes(bench: Bench) -> None:
    bench.put("a", "".join(f"{n}\n" for n in range(5)))
    bench.put("b", "7\n")
    script = DIES_ON_7.replace('and not (model / "died").exists()', "")

    outcome = bench.run(bench.model(script), processes=2, max_retries=0, **CSV)

    assert (outcome.status, bench.written()) == ("Failed", ["a.out"])
    assert "b: the process that ran the model died" in str(outcome.reason)


HANGS_ON_3 = """
import time
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    while data == "3\\n": time.sleep(0.01)
    return data, accept
"""


@pytest.mark.provenance("documented")
def test_a_model_that_takes_too_long_is_interrupted(bench: Bench) -> None:
    options = TransformOptions(content_type="text/csv", split_type="Line", timeout_s=1, max_retries=0)

    with closing(pool_of(bench, bench.model(HANGS_ON_3), options=options)) as pool:
        found = [result for _, result in pool.results(items(6))]

    assert [number for number, result in enumerate(found) if isinstance(result, Failed)] == [3]
    assert found[3] == Failed(None, "no answer within 1 s")


def test_server_errors_of_a_script_are_tried_again(bench: Bench) -> None:
    script = """
def model_fn(model_dir): return []
def transform_fn(model, data, content_type, accept):
    model.append(data)
    if len(model) % 3: raise ConnectionError("the feature store is away")
    return data, accept
"""
    options = TransformOptions(content_type="text/csv", split_type="Line", max_retries=2)

    with closing(pool_of(bench, bench.model(script), 1, options)) as pool:
        assert outputs(pool, 3) == [b"0\n", b"1\n", b"2\n"]


def test_the_environment_is_the_processes_own(bench: Bench) -> None:
    script = """
import os
def model_fn(model_dir): return os.environ["MINE"]
def transform_fn(model, data, content_type, accept):
    return model + os.environ["MINE"], accept
"""
    with closing(pool_of(bench, bench.model(script), 1)) as pool:
        assert outputs(pool, 1) == [b"yesyes"]
    assert "MINE" not in os.environ


def test_closing_ends_all_processes_whatever_they_are_at(bench: Bench) -> None:
    pool = pool_of(bench, bench.model(HANGS_ON_3))
    results = pool.results(items(10))
    next(results)
    processes = [psutil.Process(process._process.pid) for process in pool._processes]

    results.close()
    pool.close()

    assert len(processes) == 2
    wait_until(
        lambda: not any(process.is_running() and process.status() != "zombie" for process in processes)
    )


def test_a_process_of_the_pool_that_dies_is_replaced(bench: Bench) -> None:
    with (
        closing(pool_of(bench, bench.model(SLOW_FIRST))) as pool,
        closing(pool.results(items(20))) as results,
    ):
        next(results)
        for process in pool._processes:
            os.kill(process._process.pid or 0, signal.SIGKILL)
        assert [getattr(result, "output", result) for _, result in results] == [
            b"%d\n" % n for n in range(1, 20)
        ]


def test_a_job_goes_on_in_a_new_container_when_the_host_of_the_old_one_dies(bench: Bench) -> None:
    script = """
import os
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    return data if data != "host\\n" else str(os.getppid()), accept
"""
    with model_host() as containers, ExitStack() as later:
        other = replace(bench, containers=containers)
        with closing(pool_of(other, bench.model(script), 1)) as pool:
            ((_, answer),) = pool.results(iter([Item(0, b"host\n")]))
            assert isinstance(answer, Done)
            fork_server = psutil.Process(int(answer.output)).parent()
            host = fork_server and fork_server.parent()
            assert host
            host.kill()
            host.wait()
            later.enter_context(model_host(folder=containers.folder))
            assert outputs(pool, 3) == [b"0\n", b"1\n", b"2\n"]


def test_ctrl_c_is_for_whoever_started_the_pool(bench: Bench) -> None:
    with closing(pool_of(bench, bench.model(ECHO), 1)) as pool:
        os.kill(pool._processes[0]._process.pid or 0, signal.SIGINT)
        assert outputs(pool, 3) == [b"0\n", b"1\n", b"2\n"]
