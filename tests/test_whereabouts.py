import json
import os
from pathlib import Path

import pytest

from service.processes.startup import only_one
from service.whereabouts import FILE, find_urls, is_served, told
from tests.conftest import StartServer


def test_it_is_said_as_long_as_it_is_so(tmp_path: Path) -> None:
    with told(tmp_path, ["http://a:1", "http://b:2"]):
        assert find_urls(tmp_path) == ("http://a:1", "http://b:2")
        assert [file.name for file in tmp_path.iterdir()] == [FILE]
    assert find_urls(tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"urls": ["http://old:1"]}))

    with told(tmp_path, ["http://new:1"]):
        assert find_urls(tmp_path) == ("http://new:1",)


def test_what_another_process_said_does_not_count_where_one_is_meant(tmp_path: Path) -> None:
    with told(tmp_path, ["http://a:1"]):
        assert find_urls(tmp_path, os.getpid()) == ("http://a:1",)
        assert find_urls(tmp_path, os.getpid() + 1) == ()


def test_a_folder_is_served_from_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    assert not is_served(tmp_path / "not there")
    assert not is_served(tmp_path)
    with only_one(tmp_path):
        assert is_served(tmp_path)
    assert not is_served(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"urls": 3}', '{"urls": [3, null]}', "{}", "\xff"])
def test_what_cannot_be_understood_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, encoding="latin-1")

    assert find_urls(tmp_path) == ()


def test_a_folder_that_cannot_be_written_is_an_error_and_stays_clean(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()

    with pytest.raises(OSError, match="directory"), told(tmp_path, ["http://a:1"]):
        pass

    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_server_says_where_it_is_until_it_is_stopped(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    server = start_server(tmp_path / "models", tmp_path / "data", gateways=1)

    assert find_urls(server.data) == (server.url,)
    assert server.stop() == 0
    assert find_urls(server.data) == ()
