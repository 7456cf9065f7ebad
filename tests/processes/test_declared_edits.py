"""The endpoints file, edited while the server runs; and models that break and are mended."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import sklearn

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.gateways import (
    Line,
    declare,
    endless,
    events,
    line_to_each_gateway,
    loads,
    make_model,
    shot,
    status,
    variants,
)
from tests.harness.load import Load

CSV_BODY = {"content": "1", "headers": {"Content-Type": "text/csv"}, "timeout": 30}


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A family over three models, which answer 1, 2 and 3; what is declared is each test's own."""
    models = tmp_path_factory.mktemp("edits") / "models"
    for name, answer in (("one", 1), ("two", 2), ("three", 3)):
        make_model(models / name, answer)
    declare(models, variants("first", one=1))
    return start_server(models)


@pytest.fixture
def lines(server: RunningServer) -> Iterator[list[Line]]:
    """A connection to each gateway."""
    opened = line_to_each_gateway(server)
    yield opened
    for line in opened:
        line.close()


def settled(server: RunningServer, endpoint: str, **weights: float) -> bool:
    """Whether the endpoint is in service with exactly these weights."""
    cards = {card["name"]: card for card in status(server)["endpoints"]}
    card = cards.get(endpoint, {"status": "", "variants": []})
    shown = {variant["name"]: variant["weight"] for variant in card["variants"]}
    return card["status"] == "InService" and shown == weights


def answers(lines: list[Line], endpoint: str) -> set[tuple[int, str]]:
    """Status and body that the gateways give, twenty times each."""
    seen = [line.invoke(endpoint) for line in lines for _ in range(20)]
    return {(code, body if code == 200 else "") for code, _, body in seen}


def edit(server: RunningServer, text: str, endpoint: str, **weights: float) -> None:
    declare(server.models, text)
    wait_until(lambda: settled(server, endpoint, **weights))


def test_weights_change_on_every_gateway_without_a_reload(server: RunningServer, lines: list[Line]) -> None:
    edit(server, variants("weights", one=1, two=0), "weights", one=1, two=0)
    wait_until(lambda: answers(lines, "weights") == {(200, "[1.0]")})
    # Gateways write their counts now and then, the other's may be behind.
    wait_until(lambda: loads(server, "one") == loads(server, "two") == len(lines))

    declare(server.models, variants("weights", one=0, two=1))

    wait_until(lambda: answers(lines, "weights") == {(200, "[2.0]")})
    for line in lines:
        assert line.invoke("weights", Content_Type="image/png")[0] != 200
    wait_until(lambda: failures(server, "weights", "two") == len(lines))  # the counts are those of now
    assert loads(server, "one") == loads(server, "two") == len(lines)


def failures(server: RunningServer, endpoint: str, variant: str) -> int:
    """Failed requests to a variant, over all gateways, by the metrics."""
    name = f'sagebird_invocation_errors_total{{code="[^"]*",endpoint="{endpoint}",variant="{variant}"}}'
    text = web.get(f"{server.url}/metrics", timeout=30).text
    return sum(int(float(count)) for count in re.findall(rf"{name} ([0-9.]+)", text))


def test_weight_zero_is_still_reached_by_its_name(server: RunningServer, lines: list[Line]) -> None:
    edit(server, variants("named", one=1, two=0), "named", one=1, two=0)
    wait_until(lambda: answers(lines, "named") == {(200, "[1.0]")})

    seen = {line.invoke("named", X_Amzn_SageMaker_Target_Variant="two") for line in lines}

    assert seen == {(200, "two", "[2.0]")}


def test_another_model_takes_over_without_one_failed_request(
    server: RunningServer, lines: list[Line]
) -> None:
    edit(server, variants("swap", one=1), "swap", one=1)
    wait_until(lambda: answers(lines, "swap") == {(200, "[1.0]")})

    with Load(endless(server, shot("swap", 1, 3), 16)) as load:
        declare(server.models, variants("swap", three=1))
        wait_until(lambda: answers(lines, "swap") == {(200, "[3.0]")})
        outcome = load.stop()

    assert outcome.answers > 0
    assert outcome.failures == ()


def test_swap_to_a_model_that_does_not_load_keeps_the_old_one(
    server: RunningServer, lines: list[Line]
) -> None:
    edit(server, variants("kept", one=1), "kept", one=1)
    wait_until(lambda: answers(lines, "kept") == {(200, "[1.0]")})
    (server.models / "junk").mkdir()
    (server.models / "junk" / "model.joblib").write_bytes(b"junk")

    with Load(endless(server, shot("kept", 1), 8)) as load:
        declare(server.models, variants("kept", junk=1))
        wait_until(lambda: any("junk" in event["reason"] for event in events(server, "endpoint settled")))
        outcome = load.stop()

    assert outcome.failures == ()
    assert answers(lines, "kept") == {(200, "[1.0]")}
    wait_until(lambda: settled(server, "kept", one=1))
    (card,) = status(server)["endpoints"]
    assert "junk" in card["failure_reason"]


def test_bad_edit_changes_nothing_says_why_and_a_good_one_is_then_applied(
    server: RunningServer, lines: list[Line]
) -> None:
    edit(server, variants("good", one=1), "good", one=1)
    wait_until(lambda: answers(lines, "good") == {(200, "[1.0]")})
    refused = len(events(server, "endpoints file refused, nothing was changed"))

    declare(server.models, variants("good", missing=1))
    wait_until(lambda: len(events(server, "endpoints file refused, nothing was changed")) == refused + 1)

    event = events(server, "endpoints file refused, nothing was changed")[-1]
    assert "endpoints.good.variants.missing" in event["reason"]
    assert event["level"] == "error"
    assert answers(lines, "good") == {(200, "[1.0]")}
    (notice,) = status(server)["notices"]
    assert "endpoints.good.variants.missing" in notice
    shown = subprocess.run(
        [sys.executable, "-m", "service.cli", "endpoints", "--url", server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert notice in shown.stdout
    edit(server, variants("good", two=1), "good", two=1)
    wait_until(lambda: answers(lines, "good") == {(200, "[2.0]")})
    assert status(server)["notices"] == []


@pytest.mark.parametrize("text", ["endpoints: [", "\x00", "endpoints: 7", "endpoint: {}", "- 1"])
def test_text_that_is_no_declaration_is_refused(server: RunningServer, text: str) -> None:
    edit(server, variants("kept", one=1), "kept", one=1)
    refused = len(events(server, "endpoints file refused, nothing was changed"))

    declare(server.models, text)

    wait_until(lambda: len(events(server, "endpoints file refused, nothing was changed")) == refused + 1)
    assert settled(server, "kept", one=1)


def test_added_endpoint_is_served_and_removed_one_is_gone(server: RunningServer, lines: list[Line]) -> None:
    edit(server, variants("leaving", one=1), "leaving", one=1)
    both = variants("leaving", one=1) + variants("coming", two=1).removeprefix("endpoints:\n")

    edit(server, both, "coming", two=1)
    wait_until(lambda: answers(lines, "coming") == {(200, "[2.0]")})
    wait_until(lambda: answers(lines, "leaving") == {(200, "[1.0]")})
    edit(server, variants("coming", two=1), "coming", two=1)

    wait_until(lambda: answers(lines, "leaving") == {(400, "")})
    assert answers(lines, "coming") == {(200, "[2.0]")}


def test_default_endpoint_is_what_a_plain_call_reaches(server: RunningServer) -> None:
    text = variants("a", one=1) + variants("b", two=1).removeprefix("endpoints:\n")

    declare(server.models, "default_endpoint: a\n" + text)
    wait_until(lambda: plain_answer(server) == "[1.0]")
    declare(server.models, "default_endpoint: b\n" + text)
    wait_until(lambda: plain_answer(server) == "[2.0]")
    declare(server.models, text)
    wait_until(lambda: plain_answer(server) not in ("[1.0]", "[2.0]"))

    assert settled(server, "a", one=1)


def plain_answer(server: RunningServer) -> str:
    return web.post(f"{server.url}/invocations", **CSV_BODY).text  # type: ignore[arg-type]  # of mixed types


def test_without_the_file_models_have_their_names_and_a_new_one_is_seen(server: RunningServer) -> None:
    edit(server, variants("short", one=1), "short", one=1)

    (server.models / "endpoints.yaml").unlink()
    wait_until(lambda: settled(server, "two", AllTraffic=1))
    assert server.invoke("two", "1", Content_Type="text/csv").text == "[2.0]"
    assert "short" not in {card["name"] for card in status(server)["endpoints"]}
    assert "is served under its name" in status(server)["notices"][0]
    edit(server, variants("short", one=1), "short", one=1)

    assert server.invoke("short", "1", Content_Type="text/csv").text == "[1.0]"


def test_file_written_in_place_is_seen(server: RunningServer) -> None:
    file = server.models / "endpoints.yaml"
    edit(server, variants("place", one=1), "place", one=1)

    file.write_text(variants("place", two=1))

    wait_until(lambda: settled(server, "place", two=1))


def test_model_that_fails_to_load_says_why_on_every_call_and_leaves_others_untouched(
    server: RunningServer, lines: list[Line]
) -> None:
    make_model(
        server.models / "broken", 4, "def model_fn(model_dir):\n    raise OSError('no such weights')\n"
    )
    text = variants("sound", one=1) + variants("ill", broken=1).removeprefix("endpoints:\n")

    edit(server, text, "sound", one=1)
    wait_until(lambda: answers(lines, "ill") == {(424, "")})

    for line in lines:
        for _ in range(3):
            code, _, body = line.invoke("ill")
            assert code == 424
            assert "no such weights" in body
    assert answers(lines, "sound") == {(200, "[1.0]")}
    wait_until(lambda: failure_of(server, "ill").startswith("Failed"))
    assert "no such weights" in failure_of(server, "ill")


def failure_of(server: RunningServer, endpoint: str) -> str:
    cards = {card["name"]: card for card in status(server)["endpoints"]}
    return f"{cards[endpoint]['status']}: {cards[endpoint]['failure_reason']}"


def test_mended_model_heals_by_itself(server: RunningServer, lines: list[Line]) -> None:
    folder = server.models / "mended"
    folder.mkdir()
    (folder / "model.joblib").write_bytes(b"torn")
    declare(server.models, variants("heal", mended=1))
    wait_until(lambda: answers(lines, "heal") == {(424, "")})

    make_model(folder, 6)

    wait_until(lambda: answers(lines, "heal") == {(200, "[6.0]")})
    wait_until(lambda: settled(server, "heal", mended=1))


def test_readiness_names_what_does_not_load(server: RunningServer) -> None:
    (server.models / "empty").mkdir()

    declare(server.models, variants("never", empty=1))

    wait_until(lambda: "never is Failed" in web.get(f"{server.url}/readyz", timeout=30).text)
    assert web.get(f"{server.url}/readyz", timeout=30).status_code == 200
    edit(server, variants("never", one=1), "never", one=1)
    wait_until(lambda: web.get(f"{server.url}/readyz", timeout=30).text == "ready\n")


def test_model_of_another_scikit_learn_serves_with_a_warning(server: RunningServer) -> None:
    make_model(server.models / "aged", 8)
    here = sklearn.__version__
    older = re.sub("[1-9]", "0", here)
    file = server.models / "aged" / "model.joblib"
    file.write_bytes(file.read_bytes().replace(here.encode(), older.encode()))

    edit(server, variants("aged", aged=1), "aged", aged=1)

    assert server.invoke("aged", "1", Content_Type="text/csv").text == "[8.0]"
    sentence = f"fitted with scikit-learn {older}, this server runs {here}"
    wait_until(lambda: any(sentence in note for card in status(server)["models"] for note in card["notes"]))
    wait_until(lambda: any(sentence in event["reason"] for event in events(server, "model may be off")))
