"""The dashboard in a real Chromium: true numbers, a slider that shifts traffic, a form that predicts."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, wait_until
from tests.faces.attacker import find_chromium
from tests.faces.people.dashboard.conftest import use_and_tell
from tests.harness import web
from tests.harness.axe import find_axe
from tests.harness.browser import Browser

_CHROMIUM, _AXE = find_chromium(), find_axe()
pytestmark = pytest.mark.skipif(_CHROMIUM is None, reason="needs Chromium")

_ROW = "5.1,3.5,1.4,0.2"
_DRAWN = (
    "document.querySelectorAll('[data-plot] canvas').length === 8 && "
    "document.getElementById('live').dataset.state === 'live'"
)
_IRIS = "document.querySelector('[data-endpoint=iris]')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert _CHROMIUM is not None
    with Browser(_CHROMIUM) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Browser]:
    """The page, open and drawn; whatever it complained of fails the test."""
    browser.complaints.clear()
    browser.show(1280)
    browser.open(f"{server.url}/dashboard")
    browser.wait(_DRAWN)
    yield browser
    assert browser.complaints == []


def _status(server: RunningServer) -> dict[str, Any]:
    document: dict[str, Any] = web.get(f"{server.url}/status", timeout=60).json()
    return document


def _iris(server: RunningServer) -> dict[str, Any]:
    (iris,) = [card for card in _status(server)["endpoints"] if card["name"] == "iris"]
    return dict(iris)


def _shares(server: RunningServer) -> dict[str, float]:
    return {variant["name"]: variant["share"] for variant in _iris(server)["variants"]}


def _state(server: RunningServer) -> str:
    return str(_iris(server)["status"])


def _share_out(server: RunningServer, shares: dict[str, float]) -> None:
    desired = [{"VariantName": name, "DesiredWeight": share} for name, share in shares.items()]
    headers = {
        "X-Amz-Target": "SageMaker.UpdateEndpointWeightsAndCapacities",
        "Content-Type": "application/x-amz-json-1.1",
    }
    asked = {"EndpointName": "iris", "DesiredWeightsAndCapacities": desired}
    assert web.post(server.url, json=asked, headers=headers, timeout=60).status_code == 200
    # While it is still Updating, as after weights that it had before, what the page asks next is refused.
    wait_until(lambda: _shares(server) == shares and _state(server) == "InService", 60)


def test_every_card_shows_true_numbers(page: Browser, server: RunningServer) -> None:
    for _ in range(10):
        server.invoke("iris", _ROW, content_type="text/csv", X_Amzn_SageMaker_Target_Variant="forest")
    status = _status(server)
    rows = page.run(
        "Object.fromEntries([...document.querySelectorAll('article')].map((card) => [card.dataset.endpoint, "
        "[...card.querySelectorAll('tbody tr')].map("
        "(row) => [...row.cells].map((cell) => cell.textContent.trim()))]))"
    )
    assert rows.keys() == {card["name"] for card in status["endpoints"]}
    for card in status["endpoints"]:
        shown = [(name, model, share) for name, model, share, *_ in rows[card["name"]]]
        assert shown == [(v["name"], v["model"], f"{100 * v['share']:.3g} %") for v in card["variants"]]
    page.wait(f"{_IRIS}.querySelectorAll('tbody tr')[1].cells[4].textContent === '10'")
    models = page.run(
        "[...document.querySelectorAll('[data-part=models] tbody tr')].map((row) => "
        "[row.cells[0].textContent.trim(), row.cells[1].textContent.trim()])"
    )
    assert models == [[model["name"], model["state"]] for model in status["models"]]


def test_a_slider_says_what_it_would_do_and_then_shifts_traffic(page: Browser, server: RunningServer) -> None:
    page.run(f"{_IRIS}.querySelector('.shift').open = true")
    page.run(f"{_IRIS}.querySelectorAll('input[type=range]')[1].focus()")
    page.press("ArrowRight", 39, times=5)
    page.wait(f"{_IRIS}.querySelector('.preview').textContent.includes('forest from 10 % to 15 %')")
    assert _shares(server) == {"logistic": 0.9, "forest": 0.1}  # nothing happens before somebody says so
    page.press("End", 35)
    page.wait(f"{_IRIS}.querySelector('.preview').textContent.includes('forest from 10 % to 100 %')")
    page.run(f"{_IRIS}.querySelector('.weights button.main').click()")
    page.wait(f"{_IRIS}.querySelector('.told').textContent === 'Shifted.'")
    wait_until(lambda: _shares(server) == {"logistic": 0.0, "forest": 1.0}, 60)

    def all_by_forest() -> bool:
        answers = [server.invoke("iris", _ROW, content_type="text/csv") for _ in range(20)]
        return {each.headers["x-amzn-invoked-production-variant"] for each in answers} == {"forest"}

    wait_until(all_by_forest, 60)
    page.wait(f"{_IRIS}.querySelectorAll('tbody tr')[1].cells[2].textContent === '100 %'")


def test_a_shift_that_is_refused_says_why(page: Browser, server: RunningServer) -> None:
    page.run(
        f"{_IRIS}.querySelector('.shift').open = true; const form = {_IRIS}.querySelector('.weights'); "
        "form.dataset.endpoint = 'gone'; form.querySelector('input[type=range]').dispatchEvent("
        "new Event('input', {bubbles: true})); form.querySelector('button.main').click()"
    )
    page.wait(f"{_IRIS}.querySelector('.told.bad')?.textContent.includes('Could not find endpoint')")
    page.complaints[:] = [
        each for each in page.complaints if "400" not in each
    ]  # the browser tells of it, too


def test_the_form_predicts_and_its_commands_do_the_same(page: Browser, server: RunningServer) -> None:
    page.run(f"{_IRIS}.querySelector('.try').open = true")
    page.wait(f"{_IRIS}.querySelector('form.ask')?.querySelector('pre code').textContent.length > 0")
    page.run(f"{_IRIS}.querySelector('.ask .main').click()")
    page.wait(f"{_IRIS}.querySelector('.answer pre')?.textContent === '[0]'")
    told = page.run(f"{_IRIS}.querySelector('.answer p').textContent")
    assert told.startswith(("by forest · in ", "by logistic · in "))
    command = page.run(f"{_IRIS}.querySelector('.code pre code').textContent")
    words = shlex.split(command.replace("\\\n", ""))
    done = subprocess.run(
        [words[0], "--silent", "--max-time", "60", *words[1:]], capture_output=True, check=True
    )
    assert done.stdout == b"[0]"
    page.run(f"{_IRIS}.querySelectorAll('[role=tab]')[1].click()")
    script = page.run(f"{_IRIS}.querySelector('.code pre code').textContent")
    compile(script, "shown", "exec")
    assert '"iris"' in script
    assert _ROW in script
    page.run(f"{_IRIS}.querySelector('[data-field]').value = 'no number'")
    page.run(f"{_IRIS}.querySelector('.ask .main').click()")
    page.wait(f"{_IRIS}.querySelector('.answer pre.bad')")
    assert page.run(f"{_IRIS}.querySelector('.answer').dataset.status") == "424"
    page.complaints[:] = [each for each in page.complaints if "424" not in each]
    page.wait("document.querySelector('[data-part=failures]').textContent.includes('ModelError')")


def test_words_are_choices(page: Browser) -> None:
    birds = "document.querySelector('[data-endpoint=bird-strike]')"
    page.run(f"{birds}.querySelector('.try').open = true")
    page.wait(f"{birds}.querySelector('[data-field=wildlife_size]')?.tagName === 'SELECT'")
    page.run(f"{birds}.querySelector('.ask .main').click()")
    page.wait(f"{birds}.querySelector('.answer')?.dataset.status === '200'")


def _choose(page: Browser, variant: str, pause_s: str) -> None:
    page.run(
        f"var [which, how] = {_IRIS}.querySelectorAll('.promotion select'); which.value = '{variant}'; "
        f"how.value = '{pause_s}'; how.dispatchEvent(new Event('input', {{bubbles: true}}))"
    )


def _says(page: Browser, text: str) -> None:
    page.wait(f"{_IRIS}.querySelector('.promote .preview').textContent.includes({json.dumps(text)})")
    page.wait(f"!{_IRIS}.querySelector('.promotion button.main').disabled")


def test_the_better_variant_is_promoted_once_somebody_says_so(page: Browser, server: RunningServer) -> None:
    shares = {"logistic": 0.8, "forest": 0.2}
    _share_out(server, shares)
    use_and_tell(server, "iris", range(150), lambda variant: variant == "forest")
    sentence = "forest is better than logistic by"
    page.wait(f"{_IRIS}.querySelector('.verdict')?.textContent.startsWith('{sentence}')")
    page.wait(f"{_IRIS}.querySelector('.experiment').dataset.better === 'forest'")
    page.run(f"{_IRIS}.querySelector('.promote').open = true")
    _says(page, "forest from 20 % to 100 %")
    assert page.run(f"{_IRIS}.querySelector('.promotion select').value") == "forest"
    _choose(page, "forest", "86400")
    _says(page, "forest stays at 20 % for 1 day first; then forest gets 25 %, 50 %, 100 %, each 1 day")
    _choose(page, "forest", "")
    _says(page, "forest from 20 % to 100 %")
    assert _shares(server) == shares  # nothing happens before somebody says so
    page.run(f"{_IRIS}.querySelector('.promotion button.main').click()")
    page.wait(f"{_IRIS}.querySelector('.promotion .told').textContent === 'forest has 100 %.'")
    wait_until(lambda: _shares(server) == {"logistic": 0.0, "forest": 1.0}, 60)
    page.wait(f"{_IRIS}.querySelector('.changes').textContent.includes('forest is promoted')")


def test_a_ramp_is_seen_and_stopped(page: Browser, server: RunningServer) -> None:
    _share_out(server, {"logistic": 0.0, "forest": 1.0})
    page.run(f"{_IRIS}.querySelector('.promote').open = true")
    _choose(page, "logistic", "86400")
    _says(page, "each 1 day after")
    page.run(f"{_IRIS}.querySelector('.promotion button.main').click()")
    page.wait(f"{_IRIS}.querySelector('.ramp')?.textContent.includes('goes up in steps: it has 5 %')")
    page.wait(f"!{_IRIS}.querySelector('.promotion .stop').hidden")
    page.run(f"{_IRIS}.querySelector('.promotion .stop').click()")
    page.wait(f"{_IRIS}.querySelector('.promotion .told').textContent === 'It is stopped.'")
    page.wait(f"{_IRIS}.querySelector('.ramp')?.textContent.includes('was stopped on its way up, at 5 %')")


def test_containers_are_shown_with_what_their_processes_are_at(page: Browser, server: RunningServer) -> None:
    def cells() -> list[str]:
        found: list[str] = page.run(
            "[...document.querySelectorAll('[data-part=containers] tbody tr')]"
            ".map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
            ".find((cells) => cells[0] === 'shouts') ?? []"
        )
        return found

    wait_until(lambda: cells()[:2] == ["shouts", "ready"], 60)
    pid = server.invoke("shouts", "hello", content_type="text/csv").text
    wait_until(lambda: pid in cells()[2].split(", "), 60)
    assert server.invoke("shouts", "leave", content_type="text/csv").status_code == 424
    wait_until(lambda: cells()[7:] == ["1", "exit code 3"], 60)
    wait_until(lambda: int(cells()[5]) >= 2, 60)


def test_live_rows_that_are_asked_of_two_variants_are_shown(page: Browser, server: RunningServer) -> None:
    asked = web.post(f"{server.url}/endpoints/iris/experiment", json={"ask_both": 100}, timeout=60)
    assert asked.json() == {"endpoint": "iris", "ask_both": 100.0}

    def is_shown() -> bool:
        server.invoke("iris", _ROW, content_type="text/csv")
        shown = page.run(f"{_IRIS}.querySelector('.agreement')?.textContent ?? ''")
        return "differ on 0 of" in shown

    wait_until(is_shown, 60)
    assert "asked of two 100 % of calls" in page.run(f"{_IRIS}.querySelector('h4').textContent")
    told = web.get(f"{server.url}/endpoints/iris/experiment", timeout=60).json()["agreement"]
    assert {pair["differing"] for pair in told["pairs"]} == {0}


@pytest.mark.skipif(_AXE is None, reason="needs axe-core (TEST_AXE names the folder where npm put it)")
@pytest.mark.parametrize(("width", "dark"), [(360, False), (1280, True)])
def test_nothing_keeps_people_out(page: Browser, width: int, dark: bool) -> None:
    assert _AXE is not None
    page.show(width, dark=dark)
    page.run("for (const each of document.querySelectorAll('details')) each.open = true")
    page.wait("document.querySelectorAll('form.ask').length === 4")
    page.run(_AXE.read_text(encoding="utf-8") + "; true")
    found = page.run(
        "axe.run(document, {resultTypes: ['violations']}).then((all) => JSON.stringify(all.violations))"
    )
    faults = [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]])
        for fault in json.loads(found)
        if fault["impact"] in ("serious", "critical")
    ]
    assert faults == []


def test_it_fits_a_narrow_window(page: Browser, tmp_path: Path) -> None:
    folder = Path(os.environ.get("TEST_PICTURES", tmp_path))
    for width in (360, 1280):
        page.show(width)
        page.run("for (const each of document.querySelectorAll('details')) each.open = true")
        page.wait("document.querySelectorAll('form.ask').length === 4")
        assert page.run("document.documentElement.scrollWidth") <= width
        hidden = page.run(
            "[...document.querySelectorAll('.wide')].filter((e) => e.scrollWidth > e.clientWidth).length"
        )
        assert (hidden > 0) == (width == 360)  # and an edge that is dark says so
        edges = "getComputedStyle(document.querySelector('.wide')).backgroundAttachment"
        assert page.run(edges) == "local, local, scroll, scroll"
        page.picture(folder / f"dashboard-{width}.png")
        assert (folder / f"dashboard-{width}.png").stat().st_size > 10_000
