"""What a handler prints is marked with its call; what is no mark of the container's own stays text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runner.conftest import Deploy
from tests.runner.containers import Container, ForkServer

Start = Callable[..., Container]

_KEY = "0123456789abcdef"
_ID = "00000000-0000-4000-8000-000000000001"
_SCRIPT = """
import os, sys
print("loading")
def model_fn(model_dir): return {}
def input_fn(body, content_type): return body
def predict_fn(data, model, context=None):
    exec(data)
    return [name for name in context.request_headers] if context else []
"""


def _ask(container: Container, code: str, request_id: str = _ID) -> Any:
    body = code.encode()
    head = (
        "POST /invocations HTTP/1.1\r\nHost: model\r\nContent-Type: text/x\r\nAccept: application/json\r\n"
        f"X-Sagebird-Log-Place: /g s\r\nContent-Length: {len(body)}\r\nX-Amzn-RequestId: {request_id}\r\n\r\n"
    )
    with container.begin(head.encode() + body) as connection:
        return container.answer(connection).json


def _printed(container: Container) -> list[str]:
    return container.log.read_text().split("\n")[:-1]


def _marked(text: str, kind: str = ".", request_id: str = _ID, *, worker: int) -> str:
    return f"\x1e{_KEY}{kind}/g s\x1f{request_id}\x1f{worker}\x1f{text}"


@pytest.fixture
def start(given: Deploy, fork_server: ForkServer) -> Start:
    def started(log_key: str = "") -> Container:
        container = given(_SCRIPT)
        container.spec = {**container.spec, "log_key": log_key}
        fork_server.start(container).loaded()
        return container.work(0)

    return started


def test_lines_of_a_call_are_marked_and_others_are_not(start: Start) -> None:
    container = start(_KEY)
    other = _ID.replace("1", "2")

    _ask(container, "print('a'); sys.stderr.write('b\\n'); print('c\\nd')")
    _ask(container, "print('e')", other)

    worker = container.workers[0]
    told = [_marked(text, worker=worker) for text in "abcd"]
    assert sorted(_printed(container)) == sorted(
        ["loading", *told, _marked("e", request_id=other, worker=worker)]
    )


def test_a_line_without_end_comes_with_its_own_call(start: Start) -> None:
    container = start(_KEY)

    _ask(container, "print('half', end='')")
    _ask(container, "pass", _ID.replace("1", "2"))

    assert _printed(container)[1:] == [_marked("half", worker=container.workers[0])]


def test_a_long_line_comes_in_parts_that_are_written_in_one_step_each(start: Start) -> None:
    container = start(_KEY)

    _ask(container, "print('x' * 5000)")

    kinds = [line[len(_KEY) + 1] for line in _printed(container)[1:]]
    assert kinds == ["+", "+", "."]
    assert sum(line.count("x") for line in _printed(container)[1:]) == 5000
    assert all(len(line) < 4096 for line in _printed(container))


def test_what_is_written_past_python_is_not_marked(start: Start) -> None:
    container = start(_KEY)

    _ask(container, "os.write(1, b'raw\\n')")

    assert _printed(container)[1:] == ["raw"]


def test_nothing_is_marked_where_nobody_keeps_it(start: Start) -> None:
    container = start()

    _ask(container, "print('a')")

    assert _printed(container)[1:] == ["a"]


def test_the_model_meets_neither_the_place_nor_the_id(start: Start) -> None:
    container = start(_KEY)

    headers = _ask(container, "pass")

    assert not [name for name in headers if "Sagebird" in name or "RequestId" in name]


def test_a_script_may_close_or_replace_its_streams_and_goes_on_answering(start: Start) -> None:
    container = start(_KEY)

    _ask(container, "sys.stdout.close()")
    _ask(container, "sys.stdout = None")

    assert _ask(container, "pass") is not None


def test_who_has_closed_the_descriptors_of_its_streams_may_print_and_goes_on_answering(start: Start) -> None:
    container = start(_KEY)

    assert _ask(container, "os.closerange(0, 3); print('gone')") is not None
    assert _ask(container, "print('gone'); sys.stderr.write('gone')") is not None
    assert "gone" not in container.log.read_text()


def test_a_print_into_what_can_only_be_read_fails_at_once(start: Start) -> None:
    container = start(_KEY)
    code = "os.close(1); os.open(os.devnull, os.O_RDONLY)"

    _ask(container, f"{code}\ntry: print('lost')\nexcept OSError: model['failed'] = True")

    assert _ask(container, "assert model['failed']") is not None


def test_no_mark_gets_into_a_file_that_the_model_has_put_in_place_of_a_stream(
    start: Start, tmp_path: Path
) -> None:
    container, file = start(_KEY), tmp_path / "own.txt"

    _ask(container, f"print('before'); os.dup2(os.open({str(file)!r}, os.O_RDWR | os.O_CREAT), 1)")
    _ask(container, "print('own')")

    assert file.read_text() == "own\n"
    assert "own" not in container.log.read_text()
