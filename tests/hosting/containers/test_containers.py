"""Containers as gateways have them: a real model host, real processes, real models."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from service.errors import ModelFault
from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.lease import Lease
from service.hosting.containers.line import CallLine
from service.hosting.containers.opener import Containers
from service.hosting.containers.slots import Slots
from service.hosting.host import Answer, Call
from tests.conftest import wait_until
from tests.harness.containers import model_host
from tests.harness.lines import ask

LIMIT_S = 60.0
TALKS = """
    import json, os, sys, time

    def model_fn(model_dir):
        return {"loaded_by": os.getpid()}

    def transform_fn(model, body, content_type, accept):
        result = eval(body)
        return json.dumps(result), "application/json"
"""

Open = Callable[..., Lease]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens containers of a script; all leases go at the end."""
    leases = []

    def make(containers: Containers, script: str = TALKS, **environment: str) -> Lease:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        program = folder / "inference.py"
        program.write_text(dedent(script))
        leases.append(containers.open(folder, script, environment, program, (folder,)))
        return leases[-1]

    yield make
    for lease in leases:
        lease.close()


def call(body: str) -> Call:
    return Call(body.encode(), "text/csv", None)


def say(lease: Lease, body: str) -> Any:
    return json.loads(ask_blocking(lease.address, call(body), LIMIT_S).body)


def is_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_the_model_is_loaded_once_and_answered_by_workers(containers: Containers, opened: Open) -> None:
    lease = opened(containers)
    told = {str(say(lease, "[model['loaded_by'], os.getpid(), os.getppid()]")) for _ in range(20)}
    triples = [json.loads(each) for each in told]
    assert len({loader for loader, _, _ in triples}) == 1
    assert all(loader == parent != worker for loader, worker, parent in triples)
    assert lease.loaded.functions == ("model_fn", "transform_fn")


def test_who_asks_for_the_same_shares_it_and_another_environment_is_another(
    containers: Containers, opened: Open
) -> None:
    first, same, other = opened(containers), opened(containers), opened(containers, LEVEL="3")
    assert first.address == same.address != other.address
    assert say(other, "os.environ['LEVEL']") == "3"
    assert say(first, "os.environ.get('LEVEL')") is None
    assert say(first, "[name for name in os.environ if name.startswith('SAGEBIRD')]") == []


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux only")
def test_models_stand_back_for_gateways(containers: Containers, opened: Open) -> None:
    lease = opened(containers)
    nice, policy = say(lease, "[os.nice(0), os.sched_getscheduler(0)]")
    assert (nice, policy) == (min(os.nice(0) + 5, 19), os.SCHED_BATCH)


def test_calls_at_once_are_answered_one_by_one_in_each_worker(containers: Containers, opened: Open) -> None:
    lease = opened(
        containers,
        """
        held = None

        def model_fn(model_dir):
            return None

        def input_fn(body, content_type):
            global held
            held = body
            return body

        def predict_fn(data, model):
            return data

        def output_fn(prediction, accept):
            return held + "," + prediction, "text/plain"
        """,
    )

    async def many() -> list[Answer]:
        line = CallLine(lease.address, lease.workers)
        answers = await asyncio.gather(*(ask(line, call(str(n))) for n in range(400)))
        line.close()
        return answers

    assert [answer.body.decode() for answer in asyncio.run(many())] == [f"{n},{n}" for n in range(400)]


@pytest.mark.parametrize(
    "deed", ["os._exit(3)", "os.abort()", "os.kill(os.getpid(), 9)", "os.closerange(0, 4096)"]
)
def test_a_worker_that_dies_harms_only_its_own_call(containers: Containers, opened: Open, deed: str) -> None:
    lease = opened(containers, DEED=deed)
    for _ in range(3):
        with pytest.raises(ModelFault, match="ended before it had answered") as caught:
            say(lease, deed)
        assert caught.value.status == 502
        assert say(lease, "1 + 1") == 2
    assert lease.look()


def test_a_call_that_takes_too_long_is_ended_and_its_worker_replaced(opened: Open) -> None:
    with model_host(workers=1, timeout_s=0.5) as containers:
        lease = opened(containers)
        (before,) = {say(lease, "os.getpid()")}
        with pytest.raises(ModelFault, match="ended before"):
            say(lease, "time.sleep(600)")
        assert say(lease, "os.getpid()") != before
        assert is_gone(before)
        assert "it was at one call for" in (containers.folder / "host.log").read_text()
        lease.close()


def test_a_worker_that_grows_too_much_is_ended(opened: Open) -> None:
    with model_host(workers=2, memory_bytes=200 << 20) as containers:
        lease = opened(containers)
        with pytest.raises(ModelFault, match="ended before"):
            say(lease, "len([bytearray(1 << 20) for _ in range(4000)])")
        assert say(lease, "len(bytearray(1 << 20))") == 1 << 20
        lease.close()


def test_what_a_worker_starts_counts_for_its_container(opened: Open) -> None:
    with model_host(workers=1, memory_bytes=200 << 20) as containers:
        lease = opened(containers)
        before = say(lease, "os.getpid()")
        child = (
            "[os.wait() if os.fork() else "
            "(setattr(os, 'held', [bytearray(b'x' * (1 << 20)) for _ in range(400)]), time.sleep(600))]"
        )
        with pytest.raises(ModelFault, match="ended before"):
            say(lease, child)
        assert say(lease, "os.getpid()") != before
        assert "MiB of 200 MiB" in (containers.folder / "host.log").read_text()
        lease.close()


@pytest.mark.parametrize("then", ["", "\nimport time; time.sleep(600)"])
def test_a_model_that_takes_more_than_a_container_may_hold_is_not_loaded(opened: Open, then: str) -> None:
    with model_host(memory_bytes=200 << 20) as containers:
        with pytest.raises(ModelFault, match="more than the 200 MiB that a container may hold") as caught:
            opened(containers, f"held = [bytearray(b'x' * (1 << 20)) for _ in range(400)]{then}")
        assert caught.value.status == 507


def test_who_dies_at_a_call_is_replaced_at_once_however_often(opened: Open) -> None:
    with model_host(workers=1) as containers:
        lease = opened(containers)
        for _ in range(8):
            with pytest.raises(ModelFault, match="ended before it had answered"):
                say(lease, "os._exit(3)")
        assert say(lease, "1 + 1") == 2
        replaced = [
            line for line in (containers.folder / "host.log").read_text().splitlines() if "replaced" in line
        ]
        assert len(replaced) == 8
        assert all("wait_s=0.0" in line for line in replaced)
        lease.close()


def test_a_look_at_containers_says_what_their_processes_are_at(opened: Open, tmp_path: Path) -> None:
    with model_host(workers=2) as containers:
        assert containers.cards() == []
        lease = opened(containers)
        wait_until(lambda: len(containers.cards()[0].pids) == 2, 60)
        (card,) = containers.cards()
        assert (card.model, card.image, card.state, card.busy, card.restarts) == ("model", "", "ready", 0, 0)
        assert say(lease, "os.getpid()") in card.pids
        with pytest.raises(ModelFault):
            say(lease, "os._exit(3)")
        wait_until(lambda: containers.cards()[0].reason == "exit code 3", 60)
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        with ThreadPoolExecutor() as threads:
            asked = threads.submit(say, lease, f"len(open({str(gate)!r}).read())")
            wait_until(lambda: containers.cards()[0].state == "busy", 60)
            (busy,) = containers.cards()
            gate.write_text("go")
            assert asked.result(60) == 2
        assert (busy.busy, busy.restarts) == (1, 1)
        assert busy.busy_s > 0
        assert busy.calls is not None
        assert busy.calls >= 3
        assert busy.size_bytes > 0
        lease.close()
    assert containers.cards() == []  # their host is gone


def test_what_was_set_apart_from_a_container_ends_with_its_fork_server(opened: Open) -> None:
    with model_host(workers=1) as containers:
        lease = opened(containers)
        daemon = say(lease, "__import__('subprocess').Popen(['setsid', 'sleep', '1000']).pid")
        fork_server = psutil.Process(say(lease, "os.getppid()")).parent()
        assert fork_server is not None
        fork_server.kill()
        wait_until(lambda: is_gone(daemon), 30)
        wait_until(lambda: answers(lease), 30)
        lease.close()


def test_what_was_set_apart_from_a_container_ends_with_it(containers: Containers, opened: Open) -> None:
    lease = opened(containers)
    daemon = say(lease, "__import__('subprocess').Popen(['setsid', 'sleep', '1000']).pid")
    lease.close()
    wait_until(lambda: is_gone(daemon), 30)


def answers(lease: Lease) -> bool:
    with suppress(ModelFault):
        return bool(say(lease, "1") == 1)
    return False


def test_nobody_can_make_the_memory_smaller_that_workers_share_with_their_host() -> None:
    slots = Slots(3)
    for size_bytes in (0, 4096):
        with pytest.raises(PermissionError):
            os.ftruncate(slots.descriptor, size_bytes)
    assert slots.busy_s(2) is None
    slots.close()


def test_what_forks_in_a_handler_answers_once(containers: Containers, opened: Open) -> None:
    lease = opened(containers)
    answers = [say(lease, "[os.fork() > 0, 7][1]") for _ in range(10)]
    assert answers == [7] * 10


def test_a_container_ends_with_its_last_lease(containers: Containers, opened: Open) -> None:
    first, second = opened(containers), opened(containers)
    pids = [say(first, "os.getpid()"), say(first, "os.getppid()")]
    first.close()
    assert say(second, "1") == 1
    second.close()
    wait_until(lambda: all(is_gone(pid) for pid in pids), 10)
    wait_until(lambda: not Path(second.address).exists(), 10)


def test_containers_come_and_go_beside_each_other(containers: Containers, tmp_path: Path) -> None:
    def come_and_go(number: int) -> list[object]:
        folder = tmp_path / str(number)
        folder.mkdir()
        program = folder / "inference.py"
        program.write_text(dedent(TALKS))
        found = []
        for turn in range(10):
            lease = containers.open(folder, str(turn), {}, program, (folder,))
            found.append(say(lease, f"{turn} + 1"))
            lease.close()
        return found

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(come_and_go, range(4))) == [list(range(1, 11))] * 4


def test_nothing_outlives_a_host_that_is_killed(opened: Open) -> None:
    with model_host() as containers:
        lease = opened(containers)
        pids = [int(str(say(lease, f"os.{name}()"))) for name in ("getpid", "getppid")]
        fork_server = psutil.Process(pids[1]).parent()
        assert fork_server is not None
        host = fork_server.parent()
        assert host is not None
        host.send_signal(signal.SIGKILL)
        wait_until(lambda: all(is_gone(pid) for pid in (*pids, fork_server.pid)), 10)
        assert not lease.look()
        assert lease.lost is not None


def test_a_template_that_is_killed_is_loaded_anew_behind_the_same_address(
    containers: Containers, opened: Open
) -> None:
    lease = opened(containers)
    loader = int(say(lease, "model['loaded_by']"))
    wait_until(lambda: len(psutil.Process(loader).children()) == lease.workers)
    pids = [loader, *(worker.pid for worker in psutil.Process(loader).children())]
    os.kill(loader, signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in pids), 10)  # a worker may have taken a call just before
    assert say(lease, "model['loaded_by']") != loader
    assert lease.look()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import module_that_is_not_there", "module_that_is_not_there"),
        ("import os; os._exit(7)", "ended while it loaded"),
        ("import os; os.abort()", "ended while it loaded"),
        ("def model_fn(folder): raise ValueError('no weights')", "no weights"),
        ("def model_fn(folder): return open(folder + '/weights')", "No such file"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(
    containers: Containers, opened: Open, script: str, words: str
) -> None:
    with pytest.raises(ModelFault, match=words) as caught:
        opened(containers, script)
    assert caught.value.status == 500


def test_a_model_that_never_loads_is_given_up(opened: Open) -> None:
    with model_host() as containers:
        impatient = Containers(containers.folder, 1, LIMIT_S, load_timeout_s=0.5)
        with pytest.raises(ModelFault, match=r"not loaded after 0\.5 seconds"):
            opened(impatient, "import time; time.sleep(600)")


OPENS = {
    "a file": "import tempfile; OPEN = tempfile.TemporaryFile()",
    "a connection": "import socket; OPEN = socket.socketpair()",
    "a process": "import subprocess as s; OPEN = s.Popen(['cat'], stdin=s.PIPE, stdout=s.PIPE)",
}
KEEPS = {
    "a log": "LOG = open(__file__ + '.log', 'a')",
    "a map": "import mmap; FILE = open(__file__, 'rb'); MAP = mmap.mmap(FILE.fileno(), 0, prot=1)",
}


@pytest.mark.parametrize("line", OPENS.values(), ids=OPENS)
def test_what_workers_must_not_share_is_opened_by_each(
    containers: Containers, opened: Open, line: str
) -> None:
    lease = opened(containers, f"{line}\n{dedent(TALKS)}")

    assert all(say(lease, "model['loaded_by'] == os.getpid()") for _ in range(10))
    assert lease.loaded.descriptors


@pytest.mark.parametrize("line", KEEPS.values(), ids=KEEPS)
def test_what_workers_may_share_is_loaded_once(containers: Containers, opened: Open, line: str) -> None:
    lease = opened(containers, f"{line}\n{dedent(TALKS)}")

    assert not any(say(lease, "model['loaded_by'] == os.getpid()") for _ in range(10))


def test_a_model_with_threads_is_loaded_by_each_worker(containers: Containers, opened: Open) -> None:
    script = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        + dedent(TALKS)
    )
    lease = opened(containers, script)
    told = [say(lease, "model['loaded_by'] == os.getpid()") for _ in range(50)]
    assert all(told)
    assert lease.loaded.threads == 2


THREADS = (
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_info
"""
    + TALKS
)


def test_variables_that_libraries_read_but_once_count(containers: Containers, opened: Open) -> None:
    """Also where the fork server has these libraries already, with one thread each."""
    asked = "[each['num_threads'] for each in threadpool_info() if each['user_api'] == 'openmp']"
    usual, same = opened(containers, THREADS), opened(containers, THREADS, OMP_NUM_THREADS="1")
    other = opened(containers, THREADS, OMP_NUM_THREADS="3")

    assert set(say(usual, asked)) == set(say(same, asked)) == {1}
    assert set(say(other, asked)) == {3}
    forked = [psutil.Process(say(lease, "model['loaded_by']")).cmdline()[3] for lease in (usual, same, other)]
    assert forked == ["--fork-server", "--fork-server", "--container"]


def test_what_a_model_prints_is_logged_and_endless_output_is_cut(opened: Open) -> None:
    with model_host() as containers:
        lease = opened(containers)
        assert say(lease, "print('a word from the model') or 1") == 1
        assert say(lease, "[print(n) for n in range(100_000)] and 2") == 2
        log = containers.folder / "host.log"
        wait_until(lambda: "a word from the model" in log.read_text(), 10)
        lease.close()
        begun_s = time.monotonic()
        wait_until(lambda: "left out" in log.read_text(), 10)
        assert time.monotonic() - begun_s < 10
        assert log.stat().st_size < 100_000
