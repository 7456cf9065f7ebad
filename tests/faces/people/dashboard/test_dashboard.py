"""The dashboard over HTTP: it says what /status says, is small and whole, and escapes every name."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from itertools import count
from typing import Any

import httpx

from tests.conftest import ROOT, RunningServer, wait_until
from tests.faces.people.dashboard.conftest import ODD, use_and_tell
from tests.harness import web

_ROW = "5.1,3.5,1.4,0.2"
_MOST_BYTES = 60_000
_STATIC = ROOT / "service/faces/people/static"


def get(server: RunningServer, path: str, **headers: str) -> httpx.Response:
    return web.get(server.url + path, headers=headers, timeout=60)


@contextmanager
def live(server: RunningServer) -> Iterator[Iterator[dict[str, Any]]]:
    """What an open page is sent."""

    def news(answer: httpx.Response) -> Iterator[dict[str, Any]]:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])

    with (
        httpx.Client(timeout=60, trust_env=False) as client,
        client.stream("GET", f"{server.url}/dashboard/live") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield news(answer)


def test_the_page_itself_holds_nothing_of_the_servers(server: RunningServer) -> None:
    answer = get(server, "/dashboard")
    assert answer.headers["content-type"].startswith("text/html")
    assert "iris" not in answer.text
    assert get(server, "/", accept="text/html").text.count('href="/dashboard"') == 1


def test_it_is_whole_small_and_from_here_alone(server: RunningServer) -> None:
    page = get(server, "/dashboard")
    parts = [page.text, get(server, "/dashboard/main").text]
    wanted = re.findall(r"""(?:src|href)="(/static/[^"]+)\"""", page.text)
    found: dict[str, str] = {}
    while wanted:
        path = wanted.pop()
        answer = get(server, path)
        assert answer.status_code == 200, path
        found[path] = answer.text
        imported = re.findall(r'from "\./([^"]+)"', answer.text)
        wanted += [each for name in imported if (each := f"/static/dashboard/{name}") not in found]
    assert len(found) >= 7
    sizes = [len(gzip.compress(text.encode())) for text in [*parts, *found.values()]]
    assert sum(sizes) < _MOST_BYTES
    assert not [text[:60] for text in parts if re.search(r"""(?:src|href)=["']?https?:""", text)]


def test_what_is_from_others_comes_with_its_licence() -> None:
    vendored = {file.name for file in (_STATIC / "vendor").iterdir()}
    assert {"htmx.LICENSE", "uPlot.LICENSE"} < vendored


def test_the_page_needs_no_exception_from_its_policy(server: RunningServer) -> None:
    policy = get(server, "/dashboard").headers["content-security-policy"]
    assert "unsafe" not in policy
    for path in ("/dashboard", "/dashboard/main", "/dashboard/try?endpoint=iris"):
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", get(server, path).text), path


def test_cards_show_what_status_says(server: RunningServer) -> None:
    status = get(server, "/status").json()
    page = get(server, "/dashboard/main").text
    for card in status["endpoints"]:
        assert f'data-endpoint="{card["name"]}"' in page
        assert f'<span class="tag {card["status"]}">{card["status"]}</span>' in page
        for variant in card["variants"]:
            assert f'<td class="n">{100 * variant["share"]:.3g} %</td>' in page
    for model in status["models"]:
        assert escape(model["name"]).replace("&#x27;", "&#39;") in page
        assert all(escape(note).replace("&#x27;", "&#39;") in page for note in model["notes"])


def test_names_that_want_to_be_markup_are_shown_as_they_are(server: RunningServer) -> None:
    page = get(server, "/dashboard/main").text
    assert ODD not in page
    assert "&lt;b&gt;bold &amp; &#39;quoted&#39;" in page


def test_calls_and_failures_come_to_open_pages_by_themselves(server: RunningServer) -> None:
    with live(server) as news:
        first = next(news)
        assert first["parts"].keys() >= {"summary", "panel/iris", "models", "jobs", "failures"}
        assert first["weights"]["iris"] == {"logistic": 9, "forest": 1}
        assert len(first["charts"]["iris"]["t"]) == 59
        assert len(first["tails"]["iris"]["of"]["logistic"]["p99"]) == 1
        server.invoke("bird-strike", "large,climb,dusk,250", content_type="text/csv")
        failed = server.invoke(
            "fixed", "no,numbers", content_type="text/csv", X_Amzn_SageMaker_Target_Variant="a"
        )
        wanted, parts = failed.headers["x-amzn-requestid"], first["parts"]
        while wanted not in parts["failures"] or '<td class="n bad">1</td>' not in parts["panel/fixed"]:
            parts |= next(news).get("parts", {})
    assert "no,numbers" not in get(server, "/dashboard/main").text


def test_the_hour_counts_each_call_once_over_all_gateways(server: RunningServer) -> None:
    def counted() -> int:
        metrics = get(server, "/metrics").text
        return sum(
            int(float(n)) for n in re.findall(r"^sagebird_invocations_total{.*} (\S+)$", metrics, re.M)
        )

    def shown() -> int:
        found = re.search(r"<dt>Last hour</dt><dd>([0-9,]+)</dd>", get(server, "/dashboard/main").text)
        assert found is not None
        return int(found[1].replace(",", ""))

    for _ in range(5):
        server.invoke("iris", _ROW, content_type="text/csv")
    wait_until(lambda: shown() == counted() >= 5, 60)


def test_a_preview_says_by_the_function_of_the_traffic_what_weights_would_do(server: RunningServer) -> None:
    told = get(server, "/dashboard/shares?endpoint=fixed&weight=30&weight=90").text
    assert "<b>a</b> from 50 % to <b>25 %</b>" in told
    assert "<b>b</b> from 50 % to <b>75 %</b>" in told
    assert "Nothing would change" in get(server, "/dashboard/shares?endpoint=fixed&weight=7&weight=7").text
    for weights in ("weight=0&weight=0", "weight=1", "weight=x&weight=1", "weight=inf&weight=1", ""):
        assert 'class="bad"' in get(server, f"/dashboard/shares?endpoint=fixed&{weights}").text
    assert 'class="bad"' in get(server, "/dashboard/shares?endpoint=none&weight=1").text


def test_weights_that_the_file_decides_on_have_no_sliders(server: RunningServer) -> None:
    page = get(server, "/dashboard/main").text
    assert re.findall(r'<form class="weights" data-endpoint="([^"]+)"', page) == ["iris"]
    assert "api_edits: true" in page


def test_another_sites_page_cannot_shift_traffic_or_look(server: RunningServer) -> None:
    target = {"X-Amz-Target": "SageMaker.UpdateEndpointWeightsAndCapacities"}
    desired = {
        "EndpointName": "iris",
        "DesiredWeightsAndCapacities": [{"VariantName": "forest", "DesiredWeight": 7}],
    }
    body = json.dumps(desired)
    site = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    for kind in ("application/x-amz-json-1.1", "text/plain"):
        for page in (site, {"Sec-Fetch-Site": "cross-site"}):
            headers = {"Content-Type": kind, **target, **page}
            assert web.post(f"{server.url}/", content=body, headers=headers, timeout=60).status_code == 403
    form = {
        "Content-Type": "text/plain",
        **target,
    }  # what a form sends, of a browser that says nothing of itself
    assert web.post(f"{server.url}/", content=body, headers=form, timeout=60).status_code == 403
    for path in ("/dashboard/main", "/dashboard/live"):
        assert get(server, path, **site).status_code == 403
    shares = {v["name"]: v["share"] for v in get(server, "/status").json()["endpoints"][2]["variants"]}
    assert shares == {"logistic": 0.9, "forest": 0.1}


def test_the_form_has_a_field_for_each_column_filled_in(server: RunningServer) -> None:
    form = get(server, "/dashboard/try?endpoint=iris").text
    assert re.findall(r'data-field="([^"]+)" data-as="number" value="([^"]+)"', form)[0][1] == "5.1"
    words = get(server, "/dashboard/try?endpoint=bird-strike").text
    assert 'data-kind="records"' in words
    assert re.search(r'<select data-field="wildlife_size".*?<option selected>large</option>', words)
    assert "no such endpoint" in get(server, "/dashboard/try?endpoint=none").text


def test_the_verdict_comes_to_open_pages_by_itself(server: RunningServer) -> None:
    with live(server) as news:
        parts = next(news)["parts"]
        assert "No call was recorded yet" in parts["experiment/iris"]
        assert "experiment/bird-strike" not in parts  # there is nothing to compare it with
        assert use_and_tell(server, "fixed", range(80), lambda variant: variant == "b") == {"a", "b"}
        later = count(80)
        while 'data-better="b"' not in parts["experiment/fixed"] or "<svg" not in parts["experiment/fixed"]:
            parts |= next(news).get("parts", {})
            if "b is better than a" in parts["experiment/fixed"]:  # it is marked every few seconds
                use_and_tell(server, "fixed", [next(later)], lambda variant: variant == "b")
    told = get(server, "/endpoints/fixed/experiment").json()
    assert told["better"] == "b"
    assert len(told["timeline"]) >= 2
    assert told["sentence"] in get(server, "/dashboard/main").text


def test_a_promotion_is_put_into_words_first(server: RunningServer) -> None:
    told = get(server, "/dashboard/promotion?endpoint=iris&variant=forest&pause_s=").text
    assert "<b>forest</b> from 10 % to <b>100 %</b>" in told
    assert 'data-request="{&#34;variant&#34;:&#34;forest&#34;}"' in told
    assert 'class="bad"' in get(server, "/dashboard/promotion?endpoint=none&variant=forest").text
    assert 'class="promotion"' in get(server, "/dashboard/main").text


def test_an_open_page_does_not_hold_up_a_stop(server: RunningServer) -> None:
    with live(server) as news:
        next(news)
        server.end()
        for _ in news:  # it is ended by the server, not by a time-out
            pass
    assert server.stop() == 0
