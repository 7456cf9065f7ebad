"""Start, stop and start again."""

import signal
import socket
import threading
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.gateways import declare, endless, events, make_model, port, shot, status, variants
from tests.harness.load import Load

SLOW = """
import time
from pathlib import Path

def predict_fn(data, model):
    Path({started!r}).touch()
    while not Path({gate!r}).exists():
        time.sleep(0.01)
    return model.predict(data)
"""


class Call:
    """A prediction that is asked for in a thread."""

    def __init__(self, server: RunningServer, endpoint: str) -> None:
        """Ask."""
        self.response: httpx.Response | None = None
        self._thread = threading.Thread(target=self._ask, args=(server, endpoint))
        self._thread.start()

    def answer(self) -> httpx.Response:
        """Wait for the answer."""
        self._thread.join(30)
        assert self.response is not None
        return self.response

    def _ask(self, server: RunningServer, endpoint: str) -> None:
        self.response = server.invoke(endpoint, "1", Content_Type="text/csv")


def test_the_first_call_of_a_server_that_just_started_meets_its_endpoints(
    start_server: StartServer, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    make_model(models / "m", 2)
    declare(models, variants("e", m=1))
    server = start_server(models, wait=False)
    wait_until(lambda: "sagebird" in server.log.read_text())  # it says where it listens; it serves later

    answer = server.invoke("e", "1", Content_Type="text/csv")  # it waits in the socket's queue

    assert (answer.status_code, answer.text) == (200, "[2.0]")


def test_pages_call_the_server_what_a_proxy_on_this_machine_calls_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_model(tmp_path / "one", 1)
    (tmp_path / "one" / "example.csv").write_text("1")
    server = start_server(tmp_path, gateways=1, allowed_hosts="shop.example")

    proxied = {"Host": "shop.example", "X-Forwarded-Proto": "https"}
    assert "https://shop.example" in web.get(server.url, headers=proxied, timeout=30).text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_family_finishes_what_is_in_flight(
    start_server: StartServer, tmp_path: Path, number: signal.Signals
) -> None:
    started, gate = tmp_path / "started", tmp_path / "gate"
    make_model(tmp_path / "models" / "slow", 4, SLOW.format(started=str(started), gate=str(gate)))
    declare(tmp_path / "models", variants("slow", slow=1))
    server = start_server(tmp_path / "models")
    call = Call(server, "slow")
    wait_until(started.exists)

    server.process.send_signal(number)
    wait_until(lambda: refuses(server))
    assert call.response is None
    gate.touch()
    code = server.process.wait(30)

    assert call.answer().status_code == 200
    assert call.answer().text == "[4.0]"
    assert code == 0
    assert "sagebird is stopped\n" in server.log.read_text()


def test_stopped_family_under_load_answers_every_request_that_came_before(
    start_server: StartServer, tmp_path: Path
) -> None:
    make_model(tmp_path / "models" / "one", 1)
    declare(tmp_path / "models", variants("one", one=1))
    server = start_server(tmp_path / "models")
    with Load(endless(server, shot("one", 1), 16)) as load:
        stopped_s = monotonic()
        code = server.stop()
        outcome = load.stop()

    assert code == 0
    assert [failure for failure in outcome.failures if failure.started_s < stopped_s] == []


def test_stopped_family_leaves_no_process_behind(start_server: StartServer, tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "one", 1)
    server = start_server(tmp_path / "models")
    children = server.children()

    server.stop()

    assert [child for child in children if child.is_running()] == []


def test_second_request_to_stop_ends_a_family_that_still_works(
    start_server: StartServer, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    code = SLOW.format(started=str(started), gate=str(tmp_path / "never"))
    make_model(tmp_path / "models" / "endless", 4, code)
    declare(tmp_path / "models", variants("endless", endless=1).replace("weight: 1", "weight: 1, lazy: true"))
    server = start_server(tmp_path / "models")
    sender = web.client(timeout=30)
    thread = threading.Thread(
        target=_ask_in_vain, args=(sender, f"{server.url}/endpoints/endless/invocations")
    )
    thread.start()
    wait_until(started.exists)

    server.process.send_signal(signal.SIGINT)
    wait_until(lambda: refuses(server))
    server.process.send_signal(signal.SIGINT)

    assert server.process.wait(10) == 0
    thread.join(30)
    sender.close()


def refuses(server: RunningServer) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port(server))) != 0


def _ask_in_vain(sender: httpx.Client, url: str) -> None:
    with pytest.raises(httpx.HTTPError):
        sender.post(url, content="1", headers={"Content-Type": "text/csv"})


def test_endpoints_come_back_after_a_restart(start_server: StartServer, tmp_path: Path) -> None:
    models = tmp_path / "models"
    make_model(models / "one", 1)
    make_model(models / "two", 2)
    declare(models, variants("both", one=3, two=1))
    before = start_server(models)
    seen = status(before)["endpoints"]
    before.stop()

    after = start_server(models, before.data)

    assert status(after)["endpoints"] == seen
    assert after.invoke("both", "1", Content_Type="text/csv").status_code == 200


def test_edits_made_while_nothing_ran_are_there_after_the_start(
    start_server: StartServer, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    make_model(models / "one", 1)
    make_model(models / "two", 2)
    declare(models, variants("old", one=1))
    before = start_server(models)
    before.stop()
    declare(models, variants("new", two=1))

    after = start_server(models, before.data)

    assert after.invoke("new", "1", Content_Type="text/csv").text == "[2.0]"
    wait_until(lambda: after.invoke("old", "1", Content_Type="text/csv").status_code == 400)


def test_second_server_over_the_same_data_never_starts(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    first = start_server(tmp_path / "models")

    second = start_server(first.models, first.data, wait=False)

    assert second.process.wait(30) == 3
    assert "Another sagebird already serves" in second.log.read_text()
    assert first.process.poll() is None


def test_server_without_endpoints_file_starts_and_says_nothing_is_declared(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()

    server = start_server(tmp_path / "models")

    assert status(server)["endpoints"] == []
    assert events(server, "endpoint settled") == []


def test_server_whose_endpoints_file_is_wrong_never_starts(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    declare(tmp_path / "models", variants("both", missing=1))

    server = start_server(tmp_path / "models", wait=False)

    assert server.process.wait(30) == 3
    assert "endpoints.both.variants.missing" in server.log.read_text()
