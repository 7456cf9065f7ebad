"""invoke and the commands beside it, typed on a terminal, and how they find the server."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.conftest import ROOT, RunningServer, free_port

Done = subprocess.CompletedProcess[str]
_NONE: Mapping[str, str] = MappingProxyType({})


def _sagebird(
    *arguments: str,
    folder: Path = ROOT,
    typed: str | None = None,
    given: str = "",
    variables: Mapping[str, str] = _NONE,
) -> Done:
    """Run a command in a folder: on a terminal where `typed` is typed, or with `given` as standard input."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SAGE", "AWS_"))}
    leader, follower = pty.openpty()
    if typed is not None:
        os.write(leader, typed.encode())
    try:
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **({"input": given} if typed is None else {"stdin": follower}),
        )
    finally:
        os.close(leader)
        os.close(follower)


# ---- a request that nobody gave


def test_on_a_terminal_the_example_is_sent_and_shown(samples: RunningServer) -> None:
    done = _sagebird("invoke", "iris", "--url", samples.url, typed="")

    assert (done.returncode, done.stdout) == (0, "[0]")
    assert "No request was given; sending the example of iris (text/csv): 5.1,3.5,1.4,0.2\n" in done.stderr


def test_on_one_terminal_the_variant_stands_below_the_answer(samples: RunningServer) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(leader), os.fdopen(follower) as terminal:
        command = [sys.executable, "-m", "service.cli", "invoke", "iris", "--url", samples.url]
        subprocess.run(
            [*command, "models/iris-forest/example.csv"],
            cwd=ROOT,
            stdout=terminal,
            stderr=terminal,
            check=True,
        )
        shown = os.read(leader, 4096).decode()
    assert shown.replace("\r", "").startswith("[0]\nvariant ")


def test_in_one_pipe_as_well_but_an_answer_that_is_alone_in_it_stays_exact(samples: RunningServer) -> None:
    command = [sys.executable, "-m", "service.cli", "invoke", "iris", "--url", samples.url]
    both = subprocess.run(
        [*command, "models/iris-forest/example.csv"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    assert both.stdout.startswith(b"[0]\nvariant ")


def test_with_nothing_on_standard_input_the_example_is_sent_and_shown(samples: RunningServer) -> None:
    done = _sagebird("invoke", "iris", "--url", samples.url, given="")
    dash = _sagebird("invoke", "iris", "-", "--url", samples.url, given="")

    assert (done.returncode, done.stdout) == (0, "[0]")
    assert "No request was given; sending the example of iris (text/csv): 5.1,3.5,1.4,0.2\n" in done.stderr
    assert "The body is empty" in dash.stderr


def test_of_an_unknown_endpoint_the_known_ones_are_named(samples: RunningServer) -> None:
    done = _sagebird("invoke", "irs", "--url", samples.url, given="5.1,3.5,1.4,0.2")

    assert done.returncode == 1
    assert "not found" in done.stderr
    assert f"{samples.url} has bird-strike, catalogue, iris.\n" in done.stderr


def test_the_example_of_a_multi_model_endpoint_goes_to_its_model(samples: RunningServer) -> None:
    done = _sagebird("invoke", "catalogue", "--url", samples.url, typed="")

    assert done.returncode == 0, done.stderr
    assert "variant all" in done.stderr


def test_the_example_is_that_of_the_model_that_is_named(samples: RunningServer) -> None:
    done = _sagebird("invoke", "catalogue", "--target-model", "digits", "--url", samples.url, typed="")

    assert done.returncode == 0, done.stderr
    assert "sending the example of catalogue for digits" in done.stderr


@pytest.mark.parametrize(
    "options", [("--target-model", "none"), ("--content-type", "application/json"), ("nobody",)]
)
def test_without_a_fitting_example_it_says_what_to_do(
    samples: RunningServer, options: tuple[str, ...]
) -> None:
    endpoint = options if options == ("nobody",) else ("catalogue", *options)
    done = _sagebird("invoke", *endpoint, "--url", samples.url, typed="")

    assert done.returncode == 1
    assert "name a file" in done.stderr or "There is no endpoint nobody" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_dash_reads_what_is_typed_and_says_so(samples: RunningServer) -> None:
    done = _sagebird("invoke", "iris", "-", "--url", samples.url, typed="6.7,3.0,5.2,2.3\n\x04")

    assert (done.returncode, done.stdout) == (0, "[2]")
    assert "Ctrl-D" in done.stderr


def test_what_is_piped_is_the_request(samples: RunningServer) -> None:
    done = _sagebird("invoke", "iris", "--url", samples.url, given="6.7,3.0,5.2,2.3")

    assert (done.returncode, done.stdout) == (0, "[2]")
    assert "example" not in done.stderr


# ---- where the server is


def test_commands_find_the_server_of_their_folder(samples: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(samples.data)

    here = _sagebird("invoke", "iris", folder=tmp_path, given="5.1,3.5,1.4,0.2")
    named = _sagebird("endpoints", "--json", variables={"SAGEBIRD_DATA": str(samples.data)})
    load = _sagebird("load", "iris", "--requests", "2", variables={"SAGEBIRD_DATA": str(samples.data)})

    assert (here.returncode, here.stdout) == (0, "[0]")
    assert "iris" in [card["name"] for card in json.loads(named.stdout)]
    assert samples.url in load.stdout


@pytest.mark.parametrize("variable", ["SAGEBIRD_URL", "AWS_ENDPOINT_URL"])
def test_an_address_that_is_given_wins_over_the_folder(
    samples: RunningServer, tmp_path: Path, variable: str
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "server.json").write_text(json.dumps({"urls": [gone]}))

    good = _sagebird("endpoints", variables={variable: samples.url, "SAGEBIRD_DATA": str(tmp_path)})
    bad = _sagebird("endpoints", variables={variable: gone, "SAGEBIRD_DATA": str(samples.data)})

    assert good.returncode == 0, good.stderr
    assert bad.returncode == 1
    assert f"No sagebird answers at {gone}, which {variable} names, (" in bad.stderr


def test_a_server_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "server.json").write_text(json.dumps({"urls": [gone]}))

    done = _sagebird("endpoints", variables={"SAGEBIRD_DATA": str(tmp_path)})

    # Whether anything is at the usual address is not this test's matter: it was asked, or said to be silent.
    assert gone not in done.stdout
    assert done.returncode == 0 or "http://127.0.0.1:8080" in done.stderr


def test_json_that_is_piped_is_known_by_its_first_byte(samples: RunningServer) -> None:
    done = _sagebird("invoke", "iris", "--url", samples.url, given=" [[5.1, 3.5, 1.4, 0.2]]")
    assert (done.returncode, done.stdout) == (0, "[0]"), done.stderr


def test_a_body_that_is_refused_says_as_what_it_was_sent(samples: RunningServer) -> None:
    done = _sagebird("invoke", "iris", "--url", samples.url, given="junk")
    assert done.returncode == 1
    assert "It was sent as text/csv: --content-type says another." in done.stderr
    done = _sagebird("invoke", "iris", "--url", samples.url, "--content-type", "text/csv", given="junk")
    assert "--content-type" not in done.stderr


def test_an_address_needs_no_scheme_and_the_port_alone_is_enough(
    samples: RunningServer, tmp_path: Path
) -> None:
    place = samples.url.removeprefix("http://")
    for variables in ({"SAGEBIRD_URL": place}, {"SAGEBIRD_PORT": place.rpartition(":")[2]}):
        done = _sagebird("endpoints", folder=tmp_path, variables=variables)
        assert done.returncode == 0, done.stderr
        assert "iris" in done.stdout
