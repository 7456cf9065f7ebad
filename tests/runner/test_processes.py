"""Fork server, templates and workers: who ends with whom, and that no model harms more than its own call."""

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import FLOWERS, Deploy
from tests.runner.containers import RUNNER, WAIT_S, Container, ForkServer, start_alone

pytestmark = pytest.mark.family

ODD = """
import json, os, signal, sys, threading, time
import random
import numpy as np
def model_fn(model_dir): return {}
def input_fn(body, kind): return json.loads(body)
def await_go():
    while not os.path.exists("../go"): time.sleep(0.01)
    os.rename("../go", "../gone")
    os._exit(0)
def predict_fn(what, model):
    if what == "pid": return os.getpid()
    if what == "ppid": return os.getppid()
    if what == "_exit": os._exit(3)
    if what == "abort": os.abort()
    if what == "close": os.closerange(3, 1000); return "closed"
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if what == "print": print("called")
    if what == "wait":
        while not os.path.exists("../go"): time.sleep(0.01)
        return "waited"
    if what == "hang": time.sleep(1000)
    if what == "random": return [random.random(), float(np.random.random())]
    if what == "thread": return threading.current_thread() is threading.main_thread()
    if what == "megabytes":
        for _ in range(300): print("x" * 10_000)
        return "said"
    if what == "fork":
        pid = os.fork()
        if pid: os.waitpid(pid, 0)
        return [pid != 0, os.getpid()]
    if what == "forked and raised":
        if os.fork() == 0: raise SystemExit(1)
        return "parent"
    if isinstance(what, list) and what[0] == "child":
        child = os.fork()
        if child == 0:
            exec(what[1])
            return "nobody hears it"
        return os.waitpid(child, 0)[1] >> 8
    if what == "forked and slept":
        child = os.fork()
        if child == 0: time.sleep(1000)
        return child
    if what == "alarm":
        def rang(number, frame): raise TimeoutError("rang")
        signal.signal(signal.SIGALRM, rang); signal.setitimer(signal.ITIMER_REAL, 0.5)
        return "set"
    if what == "subprocess":
        import subprocess
        code = "import os, sys; print(sorted(os.listdir('/proc/self/fd')), sys.path[-1])"
        return subprocess.run(["python", "-c", code], stdout=subprocess.PIPE, text=True).stdout
    if what == "streams": os.closerange(0, 3); return "closed"
    if what == "printed": os.write(1, b"x" * 100); return "printed"
    if what == "group": os.kill(0, signal.SIGKILL)
    if what == "daemon":
        import subprocess
        return subprocess.Popen(["setsid", "sleep", "1000"], stdin=subprocess.DEVNULL).pid
    if what == "left to a child":
        import ctypes
        child = ctypes.CDLL(None).fork()
        if child == 0: time.sleep(1000)
        os._exit(4)
    if what == "two forks":
        begun, told = os.pipe()
        between = os.fork()
        if between == 0:
            os.setsid()
            if os.fork() == 0: await_go()
            os.write(told, b"1")
            os._exit(0)
        return [os.read(begun, 1) == b"1", os.waitpid(between, 0)[1]]
    if what == "fork of a thread":
        thread = threading.Thread(target=lambda: os.fork() or await_go())
        thread.start()
        thread.join()
        return [True, 0]
    if what == "limits":
        import resource
        with open("/proc/self/oom_score_adj") as file:
            return [int(file.read()), resource.getrlimit(resource.RLIMIT_CORE)[0]]
    if what == "background":
        import subprocess
        return subprocess.Popen(["sleep", "1000"]).pid
    if what == "processes":
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool: return pool.map(abs, [-1, -2])
    if isinstance(what, str) and what.startswith("big"): return "y" * int(what[3:])
    return what
"""


@pytest.fixture
def odd(deploy: Deploy) -> Container:
    return deploy(ODD)


def await_end(pid: int) -> None:
    """Until a process that may be nobody's child any more is gone."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} lives")


def test_workers_share_the_calls_and_tell_how_many(deploy: Deploy) -> None:
    container = deploy(ODD).work(1)
    with ThreadPoolExecutor(8) as pool:
        pids = set(pool.map(lambda _: container.call("pid").json, range(60)))
    assert pids <= set(container.workers.values())
    (first, since), (second, _) = container.calls_of(0), container.calls_of(1)
    assert first + second == 60
    assert since >= 0


def test_state_stays_within_a_call(deploy: Deploy) -> None:
    script = """
    import json
    def model_fn(model_dir): return {}
    def input_fn(body, kind):
        global own
        own = json.loads(body)
        return own
    def predict_fn(data, model): return sum(range(20_000)) * 0 + data
    def output_fn(prediction, accept): return json.dumps([own, prediction])
    """
    container = deploy(script).work(1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: container.call(number).json, range(200)))
    assert answers == [[number, number] for number in range(200)]


def test_what_a_handler_does_to_the_headers_of_a_call_is_not_seen_by_the_next(deploy: Deploy) -> None:
    script = """
    import json
    def model_fn(model_dir): return {}
    def transform_fn(model, data, kind, accept, context):
        headers = context.get_all_request_header()
        told = [data, dict(headers)]
        headers.clear()
        headers["Mine"] = "1"
        return json.dumps(told)
    """
    container = deploy(script)
    told = [container.call(number, X_Of=of).json for number, of in ((1, "a"), (2, "a"), (3, "b"), (4, "a"))]
    headers = {"Content-Type": "application/json", "Content-Length": "1"}
    assert told == [
        [str(number), {**headers, "X-Of": of}] for number, of in ((1, "a"), (2, "a"), (3, "b"), (4, "a"))
    ]


@pytest.mark.parametrize("many", [1, 300])
def test_heads_of_any_number_and_size_are_read(odd: Container, many: int) -> None:
    for number in range(many):
        assert odd.call(number, X_Number=str(number), X_Large="x" * (4000 // many)).json == number


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("_exit", 3 << 8),
        ("abort", signal.SIGABRT),
        ("kill", signal.SIGKILL),
        ("group", signal.SIGKILL),
        ("close", 1 << 8),
    ],
)
def test_a_worker_that_dies_is_told_and_replaced(odd: Container, what: str, status: int) -> None:
    before = odd.workers[0]
    assert odd.call(what).status == 0
    told = odd.told()
    assert (told["ended"], told["slot"], told["status"] & ~0x80) == (before, 0, status)
    assert odd.work(0).call(1).json == 1
    assert odd.calls_of(0)[0] == 2


def test_a_call_that_hangs_is_seen_and_its_worker_can_be_killed(odd: Container) -> None:
    request = b'POST /invocations HTTP/1.1\r\nContent-Length: 6\r\n\r\n"hang"'
    with odd.begin(request) as connection:
        while not odd.calls_of(0)[1]:
            time.sleep(0.001)
        assert 0 < odd.calls_of(0)[1] <= time.monotonic_ns()
        os.kill(odd.workers[0], signal.SIGKILL)
        assert odd.answer(connection).status == 0
    assert odd.told() == {"ended": odd.workers[0], "slot": 0, "status": signal.SIGKILL}
    assert odd.work(0).call(1).json == 1
    assert odd.calls_of(0)[0] == 2


def test_a_child_that_a_handler_forks_never_answers(odd: Container) -> None:
    assert odd.call("fork").json == [True, odd.workers[0]]
    assert odd.call("forked and raised").json == "parent"
    assert odd.call("forked and slept").json > 1
    assert odd.call("pid").json == odd.workers[0]


def test_handlers_run_in_the_main_thread_and_may_start_processes(odd: Container) -> None:
    assert odd.call("thread").json is True
    assert odd.call("ppid").json == odd.pid
    assert odd.call("processes").json == [1, 2]
    descriptors, _, path = odd.call("subprocess").json.strip().rpartition(" ")
    assert len(json.loads(descriptors.replace("'", '"'))) == 4  # its own, and that of its look
    assert "standins" not in path


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('no such row')", 1, "no such row"),
        ("[][0]", 1, "IndexError: list index out of range"),
        ("print('went on')", 0, "went on"),
    ],
)
def test_a_child_ends_as_it_would_by_itself(odd: Container, code: str, status: int, says: str) -> None:
    assert odd.call(["child", code]).json == status
    assert says in odd.said()
    assert odd.call("pid").json == odd.workers[0]


@pytest.mark.parametrize("what", ["two forks", "fork of a thread"])
def test_what_is_forked_lives_on_without_who_forked_it(odd: Container, what: str) -> None:
    assert odd.call(what).json == [True, 0]
    folder = Path(odd.spec["model_dir"])
    (folder / "go").touch()
    end = time.monotonic() + WAIT_S
    while not (folder / "gone").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_alarm_of_the_models_that_rings_later_hurts_no_call(odd: Container) -> None:
    assert odd.call("alarm").json == "set"
    while "TimeoutError: rang" not in odd.said():
        time.sleep(0.01)
    assert odd.call("pid").json == odd.workers[0]


def test_workers_have_random_numbers_of_their_own(deploy: Deploy) -> None:
    container = deploy(ODD)
    first = container.call("random").json
    os.kill(container.workers[0], signal.SIGKILL)
    container.told()
    second = container.work(0).call("random").json
    assert not set(first) & set(second)


def test_a_call_whose_caller_has_gone_while_it_waited_is_not_made(odd: Container) -> None:
    request = b"POST /invocations HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"
    with odd.begin(request % (6, b'"wait"')) as slow:  # the one worker is busy, the next call waits
        while not odd.calls_of(0)[1]:
            time.sleep(0.001)
        odd.begin(request % (7, b'"print"')).close()
        kept = odd.begin(request % (5, b'"pid"'))
        Path(odd.spec["model_dir"], "go").touch()
        assert odd.answer(slow).json == "waited"
    with kept:
        assert odd.answer(kept).json == odd.workers[0]
    assert odd.calls_of(0)[0] == 2
    assert "called" not in odd.said()


def test_a_caller_may_stay_until_another_one_comes(odd: Container) -> None:
    ask = b"POST /invocations HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n%d"
    with odd.begin(ask % 1) as stays:
        assert odd.answer(stays).json == 1
        stays.sendall(ask % 2 + ask % 3)  # one behind the other
        received = b""
        while not received.endswith(b"\r\n\r\n3"):
            received += stays.recv(4096)
        assert b"\r\n\r\n2HTTP/1.1 200" in received
        assert odd.call(4).json == 4  # the only worker takes its leave
        assert stays.recv(9) == b"\0"
        assert stays.recv(9) == b""
        with suppress(BrokenPipeError):
            stays.sendall(ask % 5)  # nobody takes it up
    assert odd.call(6).json == 6
    assert odd.calls_of(0)[0] == 5


def test_who_is_to_leave_answers_the_call_that_it_is_at_and_no_other(odd: Container) -> None:
    ask = b"POST /invocations HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%s"
    with odd.begin(ask % (6, b'"wait"') + ask % (5, b'"pid"')) as stays:
        while not odd.calls_of(0)[1]:
            time.sleep(0.001)
        odd.have_leave(0)
        Path(odd.spec["model_dir"], "go").touch()
        received = b""
        with suppress(ConnectionResetError):  # the second call may not even have been read
            while part := stays.recv(4096):
                received += part
    assert received.endswith(b'\r\n\r\n"waited"\0')
    assert odd.told() == {"ended": odd.workers[0], "slot": 0, "status": 0}
    assert odd.calls_of(0)[0] == 1


def test_who_is_to_leave_while_it_waits_leaves_after_the_next_call(odd: Container) -> None:
    odd.have_leave(0)
    assert odd.call("pid").json == odd.workers[0]
    assert odd.told() == {"ended": odd.workers[0], "slot": 0, "status": 0}


def test_nothing_is_begun_behind_a_call_whose_caller_says_that_no_more_comes(
    odd: Container,
) -> None:
    request = b"POST /invocations HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%s"
    with odd.begin(request % (6, b'"wait"') + (request % (7, b'"print"')) * 3) as called_back:
        while not odd.calls_of(0)[1]:
            time.sleep(0.001)
        called_back.shutdown(socket.SHUT_WR)
        Path(odd.spec["model_dir"], "go").touch()
        received = b""
        with suppress(ConnectionResetError):
            while part := called_back.recv(4096):
                received += part
    assert received.endswith(b'\r\n\r\n"waited"\0')
    assert odd.call("pid").json == odd.workers[0]
    assert odd.calls_of(0)[0] == 2
    assert "called" not in odd.said()


def test_whose_turn_is_over_hears_so_where_somebody_waits_whatever_more_he_has_sent(odd: Container) -> None:
    request = b"POST /invocations HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%s"
    with odd.begin(request % (6, b'"wait"') + (request % (7, b'"print"')) * 3) as long:
        while not (since_ns := odd.calls_of(0)[1]) or time.monotonic_ns() - since_ns < 10_000_000:
            time.sleep(0.001)
        with odd.begin(request % (5, b'"pid"')) as other:
            Path(odd.spec["model_dir"], "go").touch()
            assert odd.answer(other).json == odd.workers[0]
        received = b""
        with suppress(ConnectionResetError):
            while part := long.recv(4096):
                received += part
    assert received.endswith(b'\r\n\r\n"waited"\0')
    assert odd.calls_of(0)[0] == 2
    assert "called" not in odd.said()


def test_large_bodies_pass_both_ways_and_silent_callers_do_no_harm(odd: Container) -> None:
    assert odd.call("z" * 3_000_000).json == "z" * 3_000_000
    assert len(odd.call("big7000000").body) == 7_000_002
    with odd.begin(b"POST /invocations HTTP/1.1\r\nContent-Length: 9\r\n\r\n1"):
        pass
    with odd.begin(b""):
        pass
    with odd.begin(b'POST /invocations HTTP/1.1\r\nContent-Length: 12\r\n\r\n"big9000000"'):
        pass
    with odd.begin(b"junk\r\n\r\n"):
        pass
    with odd.begin(b'POST /invocations HTTP/1.1\r\nContent-Length: 5\r\n\r\n"') as slow:
        slow.sendall(b"pi")
        slow.sendall(b'd"')
        assert odd.answer(slow).json == odd.workers[0]
    assert odd.call("pid").json == odd.workers[0]


def test_a_model_may_print_what_nobody_waits_for(odd: Container) -> None:
    assert odd.call("megabytes").json == "said"
    assert len(odd.said()) > 3_000_000


@pytest.mark.parametrize("how", ["close", "kill the template", "kill the group"])
def test_nothing_of_a_container_outlives_it(deploy: Deploy, fork_server: ForkServer, how: str) -> None:
    container = deploy(ODD).work(1)
    children = [container.call(each).json for each in ("forked and slept", "background", "daemon")]
    if how == "close":
        container.control.close()
    elif how == "kill the template":
        os.kill(container.pid, signal.SIGKILL)
    else:
        os.killpg(container.pid, signal.SIGKILL)
    assert fork_server.status_of(container.pid) == signal.SIGKILL
    for pid in (*container.workers.values(), *children):
        await_end(pid)


def test_what_prints_after_its_streams_were_closed_does_not_meet_a_caller(odd: Container) -> None:
    assert odd.call("streams").json == "closed"
    assert [odd.call("printed").json for _ in range(4)] == ["printed"] * 4


def test_a_caller_does_not_wait_for_what_its_worker_has_left_behind(odd: Container) -> None:
    assert odd.call("left to a child").status == 0
    assert odd.told()["ended"] == odd.workers[0]


def test_containers_go_first_where_memory_is_short_and_leave_no_core(odd: Container) -> None:
    score, core = odd.call("limits").json
    assert score >= 500
    assert core == 0


def test_a_model_that_blocks_signals_gets_new_workers_all_the_same(deploy: Deploy) -> None:
    container = deploy("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})\n" + ODD)
    before = container.workers[0]
    assert container.call("_exit").status == 0
    assert container.told()["ended"] == before
    assert container.work(0).call(1).json == 1


def test_what_a_handler_forks_ends_with_its_worker(odd: Container) -> None:
    child = odd.call("forked and slept").json
    os.kill(odd.workers[0], signal.SIGKILL)
    await_end(child)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("import os; os._exit(7)", 7 << 8),
        ("import os; os.abort()", signal.SIGABRT),
        ("import time; print('here'); time.sleep(1000)", signal.SIGIO),
    ],
)
def test_a_load_that_crashes_or_hangs_ends_alone(
    start: Deploy, fork_server: ForkServer, script: str, status: int
) -> None:
    container = start(script)
    if status == signal.SIGIO:  # the host gives up: the kernel ends the template, whatever it does
        while "here" not in container.said():
            time.sleep(0.01)
        container.control.close()
    else:
        assert container.told() is None
    assert fork_server.status_of(container.pid) & ~0x80 == status


@pytest.mark.parametrize("then", ["return {'of': 'child'}", "raise SystemExit(3)", "[][0]", "os._exit(1)"])
def test_a_child_that_is_forked_while_a_model_loads_is_not_the_model(deploy: Deploy, then: str) -> None:
    script = f"""
    import os
    def model_fn(model_dir):
        if os.fork() == 0:
            {then}
        return {{"child ended with": os.wait()[1] >> 8}}
    def predict_fn(data, model): return [model, os.getppid()]
    """
    container = deploy(script)
    status = 3 if "3" in then else int("return" not in then)
    assert container.call([1]).json == [{"child ended with": status}, container.pid]


def test_a_template_may_work_itself_where_it_must_not_fork(start: Deploy, fork_server: ForkServer) -> None:
    script = """
    import os, threading
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    def model_fn(model_dir): return {}
    def predict_fn(data, model): return [os.getpid(), threading.active_count()]
    """
    container = start(script)
    assert container.loaded()["threads"] == 2
    container.ask(serve=2)
    assert container.call([1]).json == [container.pid, 2]
    assert container.calls_of(2)[0] == 1
    container.control.close()
    assert fork_server.status_of(container.pid) == signal.SIGIO


def test_threads_of_the_linear_algebra_do_not_hinder_forks(given: Deploy) -> None:
    script = """
    import numpy as np
    np.random.rand(400, 400) @ np.random.rand(400, 400)
    def model_fn(model_dir): return {}
    def predict_fn(data, model): return float((np.ones((400, 400)) @ np.ones((400, 400))).sum())
    """
    with ForkServer(environment={"OPENBLAS_NUM_THREADS": "2"}) as server:
        container = server.ready().start(given(script))
        assert container.loaded()["threads"] == 1
        assert container.work(0).call([1]).json == 400.0**3


def test_a_container_of_another_environment_runs_alone(given: Deploy, iris: Any) -> None:
    container = given("def predict_fn(data, model): return model.predict(data)", model=iris)
    with start_alone(container) as process:
        container.loaded()
        assert container.work(0, 1).call(FLOWERS).json == [0, 2]
        assert os.getpgid(process.pid) == process.pid
        container.control.close()
        assert process.wait(WAIT_S) == -signal.SIGKILL
    for pid in container.workers.values():
        await_end(pid)


def test_the_fork_server_starts_containers_of_other_environments_as_well(
    given: Deploy, fork_server: ForkServer
) -> None:
    container = given(ODD)
    asked = {"python": sys.executable, "environment": {**container.spec["environment"], "MARK": "1"}}
    pid = fork_server.ask(asked, container)
    container.control.send(json.dumps(container.spec).encode())
    container.loaded()
    assert container.work(0).call("ppid").json == pid
    child = container.call("daemon").json
    container.control.close()
    assert fork_server.status_of(pid) == signal.SIGKILL
    await_end(child)


def test_a_python_that_cannot_be_run_is_said(given: Deploy, fork_server: ForkServer) -> None:
    container = given(ODD)
    pid = fork_server.ask({"python": "/nowhere/python", "environment": {}}, container)
    assert fork_server.status_of(pid) == 1 << 8
    assert "/nowhere/python cannot be run" in container.said()


def test_a_container_that_loads_alone_ends_when_its_host_does(given: Deploy) -> None:
    container = given("print('here')\nwhile True: pass")
    with start_alone(container) as process:
        while "here" not in container.said():
            time.sleep(0.01)
        container.control.close()
        assert process.wait(WAIT_S) == -signal.SIGIO


def test_all_ends_with_the_host(given: Deploy) -> None:
    with ForkServer() as server:
        container = server.ready().start(given(ODD))
        container.loaded()
        container.work(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            server.process.send_signal(number)  # it goes on for the calls that are under way
        assert container.call(1).json == 1
    assert server.process.returncode == 0
    await_end(container.pid)
    await_end(container.workers[0])


def test_what_the_fork_server_is_asked_wrongly_does_not_end_it(given: Deploy) -> None:
    container = given(ODD)
    with ForkServer() as server:
        server.ready()
        socket.send_fds(server.end, [json.dumps({"container": {}}).encode()], container.descriptors())
        started = json.loads(server.end.recv(1 << 16))["started"]
        assert "failed" in container.told()
        assert server.status_of(started) == 1 << 8
        assert server.start(given(ODD)).loaded()["kind"] == "dict"


def other_pythons() -> list[str]:
    """The oldest and the newest of the Pythons for which the runner is, where they are installed."""
    names = [f"python3.{minor}" for minor in (9, 10, 13, 12)]
    places = [str(path) for name in names for path in Path.home().glob(f".pyenv/versions/*/bin/{name}")]
    found = [which for which in map(shutil.which, (*places, *names, "pypy3")) if which is not None]
    run = [
        python for python in found if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
    ]
    return [*dict.fromkeys((*run[:1], *[python for python in run if python.endswith("3.13")][:1]))]


@pytest.mark.parametrize("python", other_pythons() or [""])
def test_other_pythons_serve_without_numpy(given: Deploy, python: str) -> None:
    if not python:
        pytest.skip("no other Python is installed")
    script = """
    from mms.context import Context
    def model_fn(model_dir): return {}
    def predict_fn(data, model, context: Context = None): return [data, context.model_name]
    """
    container = given(script)
    with start_alone(container, python) as process:
        assert container.loaded()["kind"] == "dict"
        container.work(0)
        assert container.call([[1, "a"]]).json == [[[1, "a"]], "model"]
        assert container.call(b"1,2\n", "text/csv").json == [[[1.0, 2.0]], "model"]
        container.control.close()
        process.wait(WAIT_S)


def test_every_file_is_of_the_oldest_python() -> None:
    files = sorted(RUNNER.rglob("*.py"))
    assert len(files) > 20
    for file in files:
        ast.parse(file.read_text(), str(file), feature_version=(3, 9))


def test_the_runner_shares_no_name_with_the_model(deploy: Deploy) -> None:
    script = """
    import sys
    def model_fn(model_dir): return {}
    def predict_fn(data, model):
        return [name for name in sys.modules if name.startswith(("service", "runner"))]
    """
    assert deploy(script).call([1]).json == []
