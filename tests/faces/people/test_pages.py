"""Pages for people and machines: over a real server, and with names that want to be markup."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import joblib
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic.warnings import UnsupportedFieldAttributeWarning
from sklearn.dummy import DummyClassifier

from service.faces.people.home import MOST_SHOWN, curl_line
from service.faces.people.pages import create_pages
from service.invoke.catalogue import EndpointCard, ExampleRequest, Manual, ModelCard, VariantCard
from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web

_ROW = "5.1,3.5,1.4,0.2"


def _get(server: RunningServer, path: str, **headers: str) -> httpx.Response:
    return web.get(server.url + path, headers=headers, timeout=10)


def test_a_browser_gets_a_page_that_says_what_is_served(samples: RunningServer) -> None:
    answer = _get(samples, "/", accept="text/html,application/xhtml+xml")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for word in ("iris", "logistic", "90%", "catalogue", "digits", "bird-strike", samples.url, "curl"):
        assert word in answer.text


def test_curl_gets_text_whose_commands_work(samples: RunningServer) -> None:
    answer = _get(samples, "/")
    assert answer.headers["content-type"].startswith("text/plain")
    commands = [line.strip() for line in answer.text.splitlines() if line.strip().startswith("curl ")]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        done = subprocess.run(
            [*words[:1], "--silent", "--fail", "--max-time", "20", *words[1:]],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, command
        assert done.stdout


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request"}),
        ("/?X-Amz-Credential=x%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", {}),
    ],
)
def test_a_signed_call_is_not_mistaken_for_a_browser(
    samples: RunningServer, path: str, headers: dict[str, str]
) -> None:
    answer = _get(samples, path, accept="text/html", **headers)
    assert answer.headers["content-type"] == "application/xml"
    assert "<ListAllMyBucketsResult" in answer.text


def test_docs_need_nothing_from_elsewhere(samples: RunningServer) -> None:
    page = _get(samples, "/docs")
    assert page.status_code == 200
    assets = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/static/"), asset
        found = _get(samples, asset)
        assert found.status_code == 200
        assert found.content
    assert not re.findall(r"https?://", page.text)


def test_the_page_needs_nothing_from_elsewhere(samples: RunningServer) -> None:
    page = _get(samples, "/", accept="text/html").text
    assert not [url for url in re.findall(r"https?://[^\s<\"']+", page) if not url.startswith(samples.url)]


def test_status_tells_endpoints_and_models(samples: RunningServer) -> None:
    document = _get(samples, "/status").json()
    cards = {card["name"]: card for card in document["endpoints"]}
    assert set(cards) == {"iris", "bird-strike", "catalogue"}
    assert cards["iris"]["default"] is True
    assert {v["name"]: v["share"] for v in cards["iris"]["variants"]} == {"logistic": 0.9, "forest": 0.1}
    assert "digits" in cards["catalogue"]["models"]
    states = {card["name"]: card["state"] for card in document["models"]}
    assert states["iris-logistic"] == "loaded"
    assert states.keys() >= {"iris-forest", "bird-strike", "digits", "diabetes", "breast-cancer"}


def test_health_and_readiness_of_a_good_server(samples: RunningServer) -> None:
    assert (_get(samples, "/healthz").status_code, _get(samples, "/healthz").text) == (200, "ok\n")
    assert (_get(samples, "/readyz").status_code, _get(samples, "/readyz").text) == (200, "ready\n")


# ---- a server of our own


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    """A model that is fine, one that fails, and one that fails but is lazy."""
    models = tmp_path_factory.mktemp("odd")
    for name in ("fine", "broken", "sleeping", "<b>bold & 'quoted'"):
        (models / name).mkdir()
        (models / name / "model.joblib").write_bytes(b"no model")
    joblib.dump(DummyClassifier().fit([[0]], [0]), models / "fine" / "model.joblib")
    (models / "endpoints.yaml").write_text(
        """
        endpoints:
          fine: {variants: {v: {model: fine}}}
          counted: {variants: {v: {model: fine}}}
          broken: {variants: {v: {model: broken}}}
          sleeping: {variants: {v: {model: sleeping, lazy: true}}}
          all: {variants: {v: {models: ./}}}
        """
    )
    server = start_server(models, wait=False)
    wait_until(lambda: _settled(server), 60)
    yield server
    server.stop()


def _settled(server: RunningServer) -> bool:
    """Whether every gateway that is met knows that `broken` failed and has nothing else to wait for."""
    try:
        texts = [_get(server, "/readyz").text for _ in range(20)]
    except httpx.HTTPError:
        return False
    return all("Endpoint broken is Failed" in text and "Creating" not in text for text in texts)


def test_readyz_is_200_while_others_answer_and_names_what_failed_and_lazy_ones_do_not_matter(
    odd: RunningServer,
) -> None:
    answer = _get(odd, "/readyz")
    assert answer.status_code == 200
    assert answer.text.startswith("ready\n")
    assert "Endpoint broken is Failed" in answer.text
    assert answer.text.count("model.joblib cannot be read") == 1
    assert ".." not in answer.text
    assert "sleeping" not in answer.text
    assert "fine" not in answer.text
    assert odd.invoke("fine", "[[0]]").content == b"[0]"
    assert odd.invoke("sleeping", "[[0]]").json()["OriginalStatusCode"] == 500


def test_names_of_folders_are_text_on_the_page(odd: RunningServer) -> None:
    page = _get(odd, "/", accept="text/html").text
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold &amp; &#x27;quoted&#x27;" in page
    assert "Endpoint broken" in page or "cannot be read" in page


def _counted(server: RunningServer) -> float:
    """Calls of the endpoint that only the test of the sums calls: another's may not be written down yet."""
    families = text_string_to_metric_families(_get(server, "/metrics").text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "sagebird_invocations_total" and sample.labels["endpoint"] == "counted"
    )


def test_metrics_sum_every_gateways_calls_and_survive_its_death(odd: RunningServer) -> None:
    calls, later = 200, 20
    one_each = httpx.Limits(max_keepalive_connections=0)  # so that every gateway gets some
    with web.client(base_url=odd.url, limits=one_each, timeout=10) as client:
        for _ in range(calls):
            assert client.post("/endpoints/counted/invocations", content="[[0]]").status_code == 200
    wait_until(lambda: _counted(odd) == calls)

    victim = odd.gateways()[0]
    os.kill(victim, signal.SIGKILL)
    seen = []

    def replaced() -> bool:
        try:
            seen.append(_counted(odd))
        except httpx.HTTPError:  # the connection was the victim's
            return False
        alive = odd.gateways()
        return len(alive) == 2 and victim not in alive and len(seen) > 20

    wait_until(replaced, 30)
    assert set(seen) == {calls}
    for _ in range(later):
        assert odd.invoke("counted", "[[0]]").status_code == 200
    wait_until(lambda: _counted(odd) == calls + later)


def test_metrics_count_errors_by_code_and_unknown_endpoints_apart(odd: RunningServer) -> None:
    odd.invoke("fine", "junk")
    odd.invoke("nobody", "junk")
    odd.invoke("<script>", "junk")

    def told() -> bool:
        families = {f.name: f for f in text_string_to_metric_families(_get(odd, "/metrics").text)}
        errors = families["sagebird_invocation_errors"].samples
        refused = families["sagebird_refused_requests"].samples
        return any(
            sample.labels.get("endpoint") == "fine" and sample.labels["code"] == "ModelError"
            for sample in errors
        ) and any(sample.labels["code"] == "ValidationError" for sample in refused)

    wait_until(told)
    assert "script" not in _get(odd, "/metrics").text


# ---- the pages by themselves

_EVIL = "a'; touch /tmp/x; '"


def _card(example: ExampleRequest | None) -> EndpointCard:
    variants = (VariantCard("v", 1.0, 1.0, "<img src=x>"), VariantCard("w", 0.0, 0.0, "m", pending=True))
    return EndpointCard("e", "Failed", "<script>alert(1)</script>", True, variants, (_EVIL,), example)


@dataclass
class _Served:
    cards: list[EndpointCard]
    told: tuple[str, ...]

    def endpoints(self, most: int | None = None) -> list[EndpointCard]:
        return self.cards[:most]

    def endpoint(self, name: str | None) -> EndpointCard | None:
        return next((card for card in self.cards if card.name == name), None)

    def example_for(self, name: str, target_model: str) -> ExampleRequest | None:
        return None

    def manual(self, name: str) -> Manual:
        card = self.endpoint(name)
        return Manual(() if card is None or card.example is None else (card.example,))

    def models(self) -> list[ModelCard]:
        return [ModelCard("m", "/m", "loaded", 1, 5, "", ())]

    def notices(self) -> list[str]:
        return list(self.told)


def _ask(
    path: str,
    accept: str,
    cards: list[EndpointCard],
    notices: tuple[str, ...] = (),
    pending: tuple[str, ...] = (),
) -> httpx.Response:
    app = create_pages(
        _Served(cards, notices),
        lambda: list(pending),
        lambda: ["one", "two"],
        lambda: (b"# none\n", "text/plain"),
    )

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://pages:1") as client:
            return await client.get(path, headers={"accept": accept}, timeout=10)

    return asyncio.run(ask())


@pytest.mark.usefixtures("hushed_by_nobody")
def test_pages_make_nothing_that_pydantic_would_warn_of() -> None:
    """Warnings are errors here: what declares parameters shows that the fixture brings them."""
    app = FastAPI()
    with pytest.raises(UnsupportedFieldAttributeWarning):
        app.get("/{name}")(lambda name: name)

    for path in ("/status?endpoint=e&target_model=m", "/openapi.json", "/", "/invocations", "/readyz"):
        assert _ask(path, "*/*", []).status_code in (200, 405, 503)


def test_everything_that_is_shown_is_escaped() -> None:
    card = _card(ExampleRequest("<i>{}</i>\n", "text/csv", _EVIL))
    served = replace(card, status="InService")  # else it shows no command
    page = _ask("/", "text/html", [served]).text
    assert "&lt;i&gt;{}&lt;/i&gt;" in page
    foreign = page.replace('<script src="/static/home.js" defer></script>', "")
    assert not re.search(r"<(script|img|i)\b", foreign)
    assert "<em>(coming)</em>" in page


def test_the_curl_line_is_one_shell_command_whatever_the_names(tmp_path: Path) -> None:
    line = curl_line(_card(ExampleRequest('{"a": "it\'s"}\n', "application/json", _EVIL)), "http://h")
    assert shlex.split(line) == [
        "curl",
        "http://h/endpoints/e/invocations",
        "-H",
        "Content-Type: application/json",
        "-H",
        f"X-Amzn-SageMaker-Target-Model: {_EVIL}",
        "-d",
        '{"a": "it\'s"}',
    ]


def test_text_tells_what_failed_and_the_callable_models() -> None:
    text = _ask("/", "*/*", [_card(None)]).text
    assert "e (default): Failed: v 100% (<img src=x>)" in text
    assert "<script>alert(1)</script>" in text  # plain text: nothing to escape
    assert f"models: {_EVIL}" in text


def test_pages_for_people_show_so_many_endpoints_and_say_so_while_status_has_all() -> None:
    cards = [replace(_card(None), name=f"e{number:05}") for number in range(MOST_SHOWN + 50)]
    last, beyond = cards[MOST_SHOWN - 1].name, cards[MOST_SHOWN].name
    for accept in ("text/html", "*/*"):
        text = _ask("/", accept, cards).text
        assert last in text
        assert beyond not in text
        assert f"Only {MOST_SHOWN} endpoints are shown here" in text
        assert "are shown here" not in _ask("/", accept, cards[:MOST_SHOWN]).text
    paths = _ask("/openapi.json", "*/*", cards).json()["paths"]
    assert f"/endpoints/{last}/invocations" in paths
    assert f"/endpoints/{beyond}/invocations" not in paths
    assert [card["name"] for card in _ask("/status", "*/*", cards).json()["endpoints"]] == [
        card.name for card in cards
    ]


def test_notices_stand_on_the_page_in_its_text_and_in_status() -> None:
    notice = "The endpoints file is refused: <b>"
    assert "refused: &lt;b&gt;" in _ask("/", "text/html", [_card(None)], (notice,)).text
    assert notice in _ask("/", "*/*", [_card(None)], (notice,)).text
    assert _ask("/status", "*/*", [], (notice,)).json()["notices"] == [notice]


def test_each_endpoint_has_its_command_and_failed_ones_look_failed() -> None:
    good = replace(_card(None), name="good", status="InService", failure_reason="", models=())
    page = _ask("/", "text/html", [good, replace(good, name="many", models=("one",)), _card(None)]).text
    sections = page.split("<section")[1:]
    assert (
        "curl http://pages:1/endpoints/good/invocations -H &#x27;Content-Type: text/csv&#x27;" in sections[0]
    )
    assert "Target-Model: one" in sections[1]
    assert all('class="failed"' not in section and "Copy" in section for section in sections[:2])
    assert 'class="failed"' in sections[2]
    assert "curl" not in sections[2]  # it answers no call
    assert '3 endpoints, <strong class="bad">1 failed</strong>' in page


def test_models_that_failed_are_shown_with_the_reason(odd: RunningServer) -> None:
    page = _get(odd, "/", accept="text/html").text
    failed = page[page.index("Models that cannot be loaded") :]
    assert "<td>broken</td>" in failed
    assert "model.joblib cannot be read" in failed
    assert "<td>fine</td>" not in failed


def test_no_endpoints_is_said_so() -> None:
    assert "No endpoint is declared yet." in _ask("/", "text/html", []).text


def test_readyz_lists_every_problem_and_waits_for_what_is_pending() -> None:
    answer = _ask("/readyz", "*/*", [], pending=("one",))
    assert (answer.status_code, answer.text) == (503, "one\ntwo\n")
    answer = _ask("/readyz", "*/*", [])
    assert (answer.status_code, answer.text) == (200, "ready\none\ntwo\n")


@pytest.mark.parametrize("path", ["/", "/status", "/openapi.json", "/readyz", "/endpoints/e/invocations"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_names_that_are_no_utf_8_are_shown_with_their_bytes(path: str, accept: str) -> None:
    name = os.fsdecode(b"caf\xe9")
    card = replace(_card(ExampleRequest("1", "text/csv", name)), failure_reason=name, models=(name,))
    answer = _ask(path, accept, [card], (name,), pending=(name,))
    assert answer.status_code in (200, 503, 405)
    assert path == "/readyz" or "caf\\udce9" in answer.text.replace("\\\\", "\\")
