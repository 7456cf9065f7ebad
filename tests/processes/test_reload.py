"""Models that are written over while they serve: the new one takes over, everywhere, and nobody is lost."""

import http.client
import threading
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest
from sklearn.dummy import DummyRegressor

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness.gateways import CSV, ROW, declare, line_to_each_gateway, make_model, port, variants

PATH = "/endpoints/one/invocations"
MIXED_S = 1.0  # in which an old answer may follow a new one
SCRIPT = """
import joblib

def model_fn(folder):
    return joblib.load(folder + "/model.joblib")

def predict_fn(data, model):
    return model.predict(data)
"""

WRITES = """
def model_fn(folder):
    with open(folder + "/loads.txt", "a") as file:
        file.write("one more\\n")

def transform_fn(model, body, content_type, accept):
    return "first", "text/plain"
"""


class Caller(threading.Thread):
    """Calls over one connection, and remembers when each answer came."""

    def __init__(self, server: RunningServer, over: threading.Event) -> None:
        super().__init__()
        self.server = server
        self.over = over
        self.seen: list[tuple[float, int, str]] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port(self.server), timeout=60)
        while not self.over.is_set():
            connection.request("POST", PATH, ROW, CSV)
            response = connection.getresponse()
            body = response.read().decode()
            self.seen.append((time.monotonic(), response.status, body))
        connection.close()

    def out_of_order_s(self) -> float:
        """For how long an older answer still came after a newer one."""
        longest, newest, newest_s = 0.0, -1.0, 0.0
        for at_s, _, body in self.seen:
            value = float(body.strip("[]"))
            if value > newest:
                newest, newest_s = value, at_s
            elif value < newest:
                longest = max(longest, at_s - newest_s)
        return longest


def answers(server: RunningServer) -> set[str]:
    """What the gateways answer, each of them some times."""
    lines = line_to_each_gateway(server)
    seen = {line.invoke("one")[2] for line in lines for _ in range(5)}
    for line in lines:
        line.close()
    return seen


@pytest.fixture
def opened(start_server: StartServer, tmp_path: Path) -> Callable[[str], RunningServer]:
    """A server of one endpoint, with or without a script of its own."""

    def start(code: str) -> RunningServer:
        make_model(tmp_path / "models" / "one", 0, code)
        declare(tmp_path / "models", variants("one", one=1))
        return start_server(tmp_path / "models")

    return start


@pytest.mark.parametrize("code", ["", SCRIPT], ids=["built-in", "script"])
def test_a_model_that_is_written_over_takes_over_without_a_call_lost(
    opened: Callable[[str], RunningServer], code: str
) -> None:
    server = opened(code)
    over = threading.Event()
    callers = [Caller(server, over) for _ in range(8)]
    for caller in callers:
        caller.start()
    try:
        for answer in range(1, 6):
            make_model(server.models / "one", answer)
            wait_until(lambda answer=answer: answers(server) == {f"[{float(answer)}]"}, 60)  # type: ignore[misc]
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert {status for caller in callers for _, status, _ in caller.seen} == {200}
    assert max(caller.out_of_order_s() for caller in callers) < MIXED_S


def test_what_cannot_be_loaded_leaves_the_old_one_until_it_is_mended(
    opened: Callable[[str], RunningServer],
) -> None:
    server = opened("")
    (server.models / "one" / "model.joblib").write_bytes(b"half a file")
    wait_until(lambda: "half" in server.log.read_text() or "cannot be read" in server.log.read_text(), 60)
    assert answers(server) == {"[0.0]"}
    make_model(server.models / "one", 2)
    wait_until(lambda: answers(server) == {"[2.0]"}, 60)


def test_an_edit_of_a_script_is_served(opened: Callable[[str], RunningServer]) -> None:
    server = opened(SCRIPT)
    (server.models / "one" / "inference.py").write_text(
        SCRIPT + "\ndef output_fn(p, a): return 'edited', a\n"
    )
    wait_until(lambda: answers(server) == {"edited"}, 60)


def test_without_reload_what_was_loaded_stays(start_server: StartServer, tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "one", 0)
    declare(tmp_path / "models", variants("one", one=1))
    server = start_server(tmp_path / "models", reload="off")
    joblib.dump(
        DummyRegressor(strategy="constant", constant=1.0).fit([[0.0]], [0.0]),
        server.models / "one" / "model.joblib",
    )
    declare(tmp_path / "models", variants("one", one=2))
    wait_until(lambda: "endpoints file applied" in server.log.read_text(), 60)
    assert answers(server) == {"[0.0]"}


def test_a_script_that_writes_into_its_folder_as_it_loads_is_not_loaded_for_ever(
    opened: Callable[[str], RunningServer],
) -> None:
    server = opened(WRITES)
    wait_until(lambda: "writes into its own folder" in server.log.read_text(), 60)
    # What changes while it is still being loaded would be taken for its own, too.
    wait_until(lambda: is_settled(server.log.read_text()), 60)
    folder = server.models / "one"
    assert len((folder / "loads.txt").read_text().splitlines()) >= 4
    (folder / "inference.py").write_text(WRITES.replace("first", "edited"))
    wait_until(lambda: answers(server) == {"edited"}, 60)


def is_settled(log: str) -> bool:
    return log.rfind('"endpoint settled"') > log.rfind('"endpoints file applied"')
