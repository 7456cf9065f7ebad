"""Example requests that lie beside a model."""

from pathlib import Path

import pytest

from service.hosting.artifacts.examples import example_call, example_calls
from service.hosting.host import Call


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("example.csv", "text/csv"),
        ("example.json", "application/json"),
        ("example.jsonl", "application/jsonlines"),
    ],
)
def test_the_example_request_has_the_type_of_its_file(tmp_path: Path, name: str, content_type: str) -> None:
    assert example_call(tmp_path) is None
    (tmp_path / name).write_text("1,2\n")

    assert example_call(tmp_path) == Call(b"1,2\n", content_type, None)


def test_of_several_example_requests_the_first_is_the_one(tmp_path: Path) -> None:
    (tmp_path / "example.json").write_text("[[1]]")
    (tmp_path / "example.csv").write_text("1")

    assert [call.content_type for call in example_calls(tmp_path)] == ["text/csv", "application/json"]
    assert example_call(tmp_path) == Call(b"1", "text/csv", None)


def test_what_is_larger_than_a_call_may_be_is_no_example(tmp_path: Path) -> None:
    with (tmp_path / "example.csv").open("wb") as file:
        file.truncate((6 << 20) + 1)
    (tmp_path / "example.json").write_text("[[1]]")

    assert example_call(tmp_path) == Call(b"[[1]]", "application/json", None)
