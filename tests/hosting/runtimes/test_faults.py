"""What a model's own objects raise in this process, as its author is told."""

import sys
from collections.abc import Callable

import pytest

from service.errors import BadPayload, ModelFault
from service.hosting.runtimes.faults import code_fault
from service.runner.faults import missing_module


def raised(action: Callable[[], object]) -> Exception:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("cv2", " -m pip install opencv-python-headless"),
        ("no_such_module", " -m pip install no-such-module"),
        ("numpy.nothing", "which the installed numpy lacks"),
    ],
)
def test_what_installs_a_missing_module_is_named(module: str, words: str) -> None:
    told = missing_module("model.pkl", module)
    assert words in told
    assert (sys.executable in told) == ("pip" in words)


def test_a_fault_stays_what_it_is() -> None:
    fault = BadPayload("row 1 is empty")
    assert code_fault(fault) is fault


@pytest.mark.parametrize(
    ("status", "kept"), [(400, 400), (503, 503), (599, 599), (399, 500), (600, 500), ("404", 500)]
)
def test_an_exception_with_a_status_keeps_it(status: object, kept: int) -> None:
    error = OSError("busy")
    error.__dict__["status_code"] = status
    fault = code_fault(error)
    assert (type(fault) is ModelFault) == (kept == status)
    assert fault.status == kept
    assert fault.message.partition("\n")[0] == "busy"


def test_the_message_of_the_toolkits_errors_is_used() -> None:
    error = OSError("(422, 'too long', 'Unprocessable')")
    error.__dict__.update(status_code=422, message="too long")
    assert (code_fault(error).message, code_fault(error).status) == ("too long", 422)


def test_an_error_without_a_message_is_called_by_its_type() -> None:
    assert code_fault(RuntimeError()).message.startswith("RuntimeError\n")


def test_a_long_traceback_keeps_its_end() -> None:
    trace = code_fault(raised(lambda: dict[str, int]()["x" * 9000])).message.partition("\n")[2]
    assert trace.startswith("...\n")
    assert len(trace) < 2100


def test_causes_are_told() -> None:
    def fail() -> None:
        try:
            _ = 1 / 0
        except ZeroDivisionError as error:
            raise OSError("later") from error

    assert "ZeroDivisionError" in code_fault(raised(fail)).message
