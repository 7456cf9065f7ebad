"""Pages in a real browser: one that is allowed shows a prediction, a stranger's gets nothing, ours work."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningServer, StartServer
from tests.faces import attacker
from tests.faces.attacker import Site, find_chromium, read_page
from tests.harness import web

_CHROMIUM = find_chromium()
needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="needs Chromium")

_PREDICTING = """<!doctype html><body><p id="answer">waiting</p><script>
fetch("SERVER/endpoints/iris/invocations", {
  method: "POST", headers: {"Content-Type": "text/csv"}, body: "5.1,3.5,1.4,0.2",
}).then(async (answer) => {
  const variant = answer.headers.get("x-amzn-invoked-production-variant");
  document.getElementById("answer").textContent = `${await answer.text()} by ${variant}`;
}).catch((error) => { document.getElementById("answer").textContent = `nothing: ${error}`; });
</script>"""


def _read(url: str) -> str:
    assert _CHROMIUM is not None
    return read_page(_CHROMIUM, url)


@pytest.fixture
def site() -> Iterator[tuple[Site, dict[str, str]]]:
    """A site on an origin of its own, and its pages, which may be filled later."""
    pages: dict[str, str] = {}
    with Site(pages) as site:
        yield site, pages


@needs_chromium
def test_a_page_of_an_allowed_origin_shows_a_prediction_and_another_none(
    start_server: StartServer, site: tuple[Site, dict[str, str]]
) -> None:
    page, pages = site
    server = start_server(gateways=1, cors_origins=f"{page.url}/")
    server.wait_ready()
    pages["/"] = _PREDICTING.replace("SERVER", server.url)
    assert re.search(r"\[0\] by (logistic|forest)<", _read(page.url))
    assert "nothing: TypeError" in _read(page.url.replace("localhost", "127.0.0.1"))  # another origin


@needs_chromium
def test_what_a_page_of_ours_shows_works_under_its_own_policy(samples: RunningServer) -> None:
    docs = _read(f"{samples.url}/docs")
    assert "invoke_iris" in docs  # Swagger UI has drawn the operations
    home = _read(samples.url)
    assert 'class="copy">Copy</button>' in home  # the script has shown the buttons


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("refused", "SUCCEEDED"))]


def test_a_strangers_page_gets_nothing(samples: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(Path(samples.models) / "iris-logistic")
    code = attacker.main([samples.url, "--model", model])
    lines = _lines(capsys.readouterr().out)
    assert (code, [line for line in lines if line.startswith("SUCCEEDED")]) == (0, [])
    assert len(lines) > 90
    assert "planted" not in web.get(f"{samples.url}/models", timeout=10).text


def test_the_attacker_knows_when_it_succeeds(
    start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_server(gateways=1, allowed_hosts="*", cors_origins="*")
    server.wait_ready()
    code = attacker.main([server.url, "--model", str(server.models / "none"), "--no-browser"])
    succeeded = [line for line in _lines(capsys.readouterr().out) if line.startswith("SUCCEEDED")]
    assert code == 1
    assert any("list endpoints as evil.example" in line for line in succeeded)
    assert any("get a prediction from null" in line for line in succeeded)
    assert not [line for line in succeeded if "register a model by" in line or "delete a model from" in line]
