"""The commands that make, list and revoke keys, over a data folder of their own."""

import json
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import make_app
from service.domain.access_keys import CODEC
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.store.store import ACCESS_KEYS, Store


def _run(data: Path, *arguments: str) -> Result:
    runner = CliRunner(env={"SAGEBIRD_DATA": str(data), "COLUMNS": "200", "NO_COLOR": "1"})
    return runner.invoke(make_app("keys"), ["keys", *arguments])


def test_a_key_is_made_before_any_server_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"

    made = json.loads(_run(data, "create", "--name", "web", "--endpoints", "iris,demo-*", "--json").stdout)

    assert (made["name"], made["allow"], made["endpoints"]) == ("web", ["invoke"], ["iris", "demo-*"])
    assert re.fullmatch("SBKA[A-Z2-7]{16}", made["access_key_id"])
    assert len(made["secret_access_key"]) == 40
    assert made["api_key"].startswith("sbk_")
    for path in (data, data / "keys.secret", data / "state.db"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_key_may_be_told_how_many_requests_it_has_at_once(tmp_path: Path) -> None:
    made = json.loads(_run(tmp_path, "create", "--name", "web", "--concurrency", "17", "--json").stdout)

    assert made["concurrency"] == 17
    assert re.search(r"\b17\b", _run(tmp_path, "list").stdout)
    assert _run(tmp_path, "create", "--name", "web", "--concurrency", "0").exit_code == 2


def test_a_slip_in_the_name_of_an_endpoint_is_told(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    store = Store(tmp_path / "state.db")
    with store.change() as change:
        change.put(Resource(Kind.ENDPOINT, "iris", {}, now, now))
    store.close()

    slip = _run(tmp_path, "create", "--name", "web", "--endpoints", "iirs,ir*", "--json")

    assert "no endpoint is called iirs so far; there are iris" in slip.stderr
    assert json.loads(slip.stdout)["endpoints"] == ["iirs", "ir*"]
    for good in ("iris", "*", "i*s"):
        assert _run(tmp_path, "create", "--name", "web", "--endpoints", good).stderr == ""


def test_the_store_keeps_no_secret(tmp_path: Path) -> None:
    made = json.loads(_run(tmp_path, "create", "--name", "web", "--json").stdout)
    store = Store(tmp_path / "state.db")
    (document,) = store.fact(ACCESS_KEYS).values()
    store.close()

    assert CODEC.read(document).id == made["access_key_id"]
    assert made["secret_access_key"] not in json.dumps(document)
    assert made["api_key"] not in json.dumps(document)


def test_people_are_told_the_secrets_once(tmp_path: Path) -> None:
    told = _run(tmp_path, "create", "--name", "ops", "--allow", "manage,invoke", "--expires", "90d").stdout

    assert told.startswith("ops may invoke, manage at *, until ")
    assert re.search(r"API key +sbk_\S{43}\n", told)
    assert re.search(r"secret access key +\S{40}\n", told)
    listed = _run(tmp_path, "list").stdout
    assert "ops" in listed
    assert "good until" in listed
    assert "sbk_" not in listed


def test_what_is_given_again_is_added_to_what_was_given_before(tmp_path: Path) -> None:
    allowed = _run(tmp_path, "create", "--name", "a", "--allow", "manage", "--allow", "invoke,read").stdout
    where = _run(tmp_path, "create", "--name", "b", "--endpoints", "iris", "--endpoints", "birds").stdout

    assert allowed.startswith("a may invoke, read, manage at *.")
    assert where.startswith("b may invoke at iris, birds.")


def test_keys_are_listed_and_revoked(tmp_path: Path) -> None:
    ids = [
        json.loads(_run(tmp_path, "create", "--name", name, "--json").stdout)["access_key_id"]
        for name in "ab"
    ]

    revoked = _run(tmp_path, "revoke", ids[0])

    assert revoked.stdout == f"{ids[0]} (a) is revoked\n"
    listed = json.loads(_run(tmp_path, "list", "--json").stdout)
    assert {one["access_key_id"]: one["state"] for one in listed} == {ids[0]: "revoked", ids[1]: "good"}


def test_a_list_says_how_large_a_body_may_be(tmp_path: Path) -> None:
    for name, size in (("web", "100kB"), ("big", "3MB"), ("odd", "1000")):
        assert _run(tmp_path, "create", "--name", name, "--max-body", size).exit_code == 0
    assert _run(tmp_path, "create", "--name", "any").exit_code == 0

    listed = _run(tmp_path, "list").stdout

    assert "max body" in listed
    for told in ("100 kB", "3 MB", "1,000 B"):
        assert told in listed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "--name", "a b"), "no name for a key"),
        (("create", "--name", "ä"), "no name for a key"),
        (
            ("create", "--name", "a", "--allow", "invoke,fly"),
            "fly is nothing that a key allows: invoke, read, manage",
        ),
        (("create", "--name", "a", "--allow", ","), "Nothing is nothing that a key allows"),
        (("create", "--name", "a", "--endpoints", "a/b"), "no name of an endpoint"),
        (("create", "--name", "a", "--endpoints", ","), "Name the endpoints"),
        (("create", "--name", "a", "--endpoints", "iris", "--allow", "read"), "can only invoke"),
        (("create", "--name", "a", "--max-body", "50%"), "'50%' is no size for a body, such as 500, 100kB"),
        (("create", "--name", "a", "--max-body", "large"), "'large' is no size for a body"),
        (("create", "--name", "a", "--expires", "soon"), "no time for a key"),
        (("create", "--name", "a", "--expires", "0d"), "no time for a key"),
        (("revoke", "SBKA"), "There is no key SBKA"),
    ],
)
def test_what_is_no_key_is_refused_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = _run(tmp_path, *arguments)

    assert done.exit_code == 1
    assert told in done.stderr


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    _run(tmp_path, "create", "--name", "a")
    (tmp_path / "keys.secret").chmod(0o644)

    done = _run(tmp_path, "create", "--name", "b")

    assert done.exit_code == 1
    assert "chmod 600" in done.stderr
