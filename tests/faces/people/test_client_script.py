"""/client.js: pages of other origins and node predict by it, try again when told to, and report outcomes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, RunningServer, StartServer
from tests.faces.attacker import Site, find_chromium, read_page
from tests.harness import web
from tests.harness.played_http import Answered, PlayedServer, played

_SCRIPT = ROOT / "service/faces/people/static/client.js"
_CHROMIUM, _NODE = find_chromium(), shutil.which("node")
_MOST_BYTES = 3_000
needs_node = pytest.mark.skipif(_NODE is None, reason="needs node")

_PAGE = """<!doctype html><body><p id="told">waiting</p><script type="module">
const told = document.getElementById("told");
try {
  const { predict, reportOutcome } = await import("SERVER/client.js");
  const found = await predict("iris", [[5.1, 3.5, 1.4, 0.2]], { user: "anna", variant: "forest" });
  const receipt = await reportOutcome("iris", found.id, { label: 0 });
  told.textContent = JSON.stringify([found.answer, found.variant, receipt]);
} catch (error) { told.textContent = `nothing: ${error}`; }
</script>"""


def test_it_is_small_needs_nothing_and_is_there_for_everybody(samples: RunningServer) -> None:
    answer = web.get(f"{samples.url}/client.js", timeout=60)

    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.content == _SCRIPT.read_bytes()
    assert len(answer.content) <= _MOST_BYTES
    assert re.search(r"^import |\bimport\(|\brequire\(", answer.text, re.MULTILINE) is None


def test_a_page_that_is_not_allowed_does_not_get_it(samples: RunningServer) -> None:
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert web.get(f"{samples.url}/client.js", headers=foreign, timeout=60).status_code == 403


@pytest.mark.skipif(_CHROMIUM is None, reason="needs Chromium")
def test_a_page_of_an_allowed_origin_predicts_by_it(start_server: StartServer) -> None:
    assert _CHROMIUM is not None
    pages: dict[str, str] = {}
    with Site(pages) as site:
        server = start_server(gateways=1, cors_origins=f"{site.url}/")
        pages["/"] = _PAGE.replace("SERVER", server.url)
        shown = read_page(_CHROMIUM, site.url)
    assert '[[0],"forest",{"counted":' in shown, shown


def in_node(folder: Path, server: PlayedServer, script: str) -> Any:
    """What a script prints that has the module."""
    assert _NODE is not None
    shutil.copy(_SCRIPT, folder / "client.mjs")
    begin = 'import { configure, predict, reportOutcome } from "./client.mjs";\n'
    (folder / "ask.mjs").write_text(f'{begin}configure({{ url: "{server.url}" }});\n{script}')
    done = subprocess.run(
        [_NODE, "ask.mjs"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


_GOOD = (200, {"Content-Type": "application/json", "x-Amzn-Invoked-Production-Variant": "b"}, b"[0]")
_BUSY = (503, {"Retry-After": "0"}, b'{"Message": "Too many calls are waiting."}')


@needs_node
def test_it_tries_again_as_the_server_says(tmp_path: Path) -> None:
    with played([(429, {"Retry-After": "0"}, b""), _BUSY, _GOOD]) as server:
        found = in_node(
            tmp_path,
            server,
            'configure({ key: "sbk_1" });\n'
            'console.log(JSON.stringify(await predict("i r", "1,2", { user: "anna", id: "7" })));',
        )

    assert found == {"answer": [0], "variant": "b", "id": None}
    assert [path for path, _, _ in server.asked] == ["/endpoints/i%20r/invocations"] * 3
    _, headers, body = server.asked[-1]
    assert body == b"1,2"
    assert headers["content-type"] == "text/csv"
    assert headers["x-api-key"] == "sbk_1"
    assert headers["x-sagebird-user"] == "anna"
    assert headers["x-amzn-sagemaker-inference-id"] == "7"
    assert "x-amzn-sagemaker-target-variant" not in headers


# What the module waits for is noted and over at once: node's own timers go on as ever.
_NOTED = """
const waits = [], later = globalThis.setTimeout;
globalThis.setTimeout = (done, ms, ...more) => {
  if (!new Error().stack.includes("client.mjs")) return later(done, ms, ...more);
  waits.push(ms);
  return later(done, 0);
};
"""


@needs_node
def test_who_is_told_to_wait_waits_no_shorter_and_not_as_long_as_others(tmp_path: Path) -> None:
    wait = (429, {"Retry-After": "2"}, b"")
    with played([*[wait] * 24, *[_GOOD] * 12]) as server:
        waits = in_node(
            tmp_path,
            server,
            f"{_NOTED}configure({{ retries: 99 }});\n"
            "await Promise.all([...Array(12)].map(() => predict('i', '1,2')));\n"
            "console.log(JSON.stringify(waits));",
        )

    assert len(server.asked) == 36
    assert len(set(waits)) == 24
    assert min(waits) >= 2000
    assert max(waits) < 2000 + 30_000


@needs_node
@pytest.mark.parametrize(
    ("said", "turns"),
    [
        ({}, [[200, 400], [200, 600], [200, 1000]]),
        ({"Retry-After": "1"}, [[1000, 2000], [1000, 3000], [1000, 4000]]),
    ],
)
def test_how_long_it_waits_grows_from_turn_to_turn_up_to_a_limit(
    tmp_path: Path, said: dict[str, str], turns: list[list[float]]
) -> None:
    with played([*[(503, said, b"")] * 3, _GOOD] * 2) as server:
        found = in_node(
            tmp_path,
            server,
            f"{_NOTED}configure({{ longest: 3 }});\n"
            "for (const drawn of [0, 1]) { Math.random = () => drawn; await predict('i', '1,2'); }\n"
            "console.log(JSON.stringify(waits));",
        )

    shortest, longest = found[:3], found[3:]
    assert [list(each) for each in zip(shortest, longest, strict=True)] == [
        pytest.approx(each) for each in turns
    ]


@needs_node
def test_without_an_address_it_says_what_is_missing(tmp_path: Path) -> None:
    with played([]) as server:
        found = in_node(
            tmp_path,
            server,
            'const own = await import("./client.mjs?of-its-own");\n'
            'try { await own.predict("iris", "1,2"); }\n'
            "catch (error) { console.log(JSON.stringify(error.message)); }",
        )

    assert found == "configure({url}) first"
    assert not server.asked


@needs_node
@pytest.mark.parametrize(
    ("answers", "status", "message"),
    [
        ([(429, {"Retry-After": "3600"}, b'{"message": "Later."}')], 429, "Later."),
        ([_BUSY] * 3, 503, "Too many calls are waiting."),
        ([(424, {}, b'{"Message": "no", "OriginalMessage": "4 columns"}')], 424, "4 columns"),
        ([(413, {}, b"Too large.")], 413, "Too large."),
    ],
)
def test_what_is_refused_for_good_is_an_error_with_the_sentence(
    tmp_path: Path, answers: list[Answered], status: int, message: str
) -> None:
    with played(answers) as server:
        found = in_node(
            tmp_path,
            server,
            "configure({ retries: 2 });\n"
            'try { await reportOutcome("iris", "7", { click: true }); }\n'
            "catch (error) { console.log(JSON.stringify([error.status, error.message])); }",
        )

    assert found == [status, message]
    assert next(server.answers, None) is None
    path, headers, body = server.asked[0]
    assert (path, headers["content-type"]) == ("/endpoints/iris/outcomes", "application/json")
    assert json.loads(body) == {"inference_id": "7", "click": True}
