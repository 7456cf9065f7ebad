"""What a stranger's web page tries against a running server, one line for each attempt.

    python tests/faces/attacker.py http://127.0.0.1:8080 [--model FOLDER] [--no-browser]

First the requests that browsers send for such pages, made by hand; then, where Chromium is installed, a real
page of another origin that tries the same and more. It exits with 1 if anything was read, registered, changed
or deleted. Only run it against a server of your own: an attempt that succeeds has its effect.
"""

import argparse
import http.client
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_ROW = "5.1,3.5,1.4,0.2"
_NAME = "planted-by-a-page"
_FOREIGN_HOSTS = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example.")
_PAGES: tuple[dict[str, str], ...] = (
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost:1", "Sec-Fetch-Site": "same-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example"},  # a browser that knows no Sec-Fetch-Site, or http to another machine
)
_FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
_JSON = "application/x-amz-json-1.1"


@dataclass(frozen=True)
class Attempt:
    """One request and whether it got what it wanted."""

    what: str
    succeeded: bool
    came: str

    def __str__(self) -> str:
        return f"{'SUCCEEDED' if self.succeeded else 'refused'}: {self.what}: {self.came[:150]}"


class Target:
    """The server under attack, asked as its owner asks it, too."""

    def __init__(self, url: str, model: str) -> None:
        self.url = url.rstrip("/")
        self.model = json.dumps({"model_name": _NAME, "url": model})
        self.place = urlsplit(url)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: str = ""
    ) -> tuple[int, str, list[str]]:
        """Status, body and names of headers of one answer."""
        connection = http.client.HTTPConnection(self.place.hostname or "", self.place.port, timeout=30)
        try:
            connection.request(method, path, body.encode(), dict(headers))
            answer = connection.getresponse()
            return (
                answer.status,
                answer.read().decode("utf-8", "replace"),
                [k.lower() for k, _ in answer.getheaders()],
            )
        finally:
            connection.close()

    def state(self) -> tuple[str, str]:
        """The registered models and the endpoints, as the owner sees them."""
        headers = {"Content-Type": _JSON, "X-Amz-Target": "SageMaker.ListEndpoints"}
        endpoints = json.loads(self.ask("POST", "/", headers, "{}")[1])["Endpoints"]
        return self.ask("GET", "/models", {})[1], json.dumps(
            sorted(each["EndpointName"] for each in endpoints)
        )


def attack_by_hand(target: Target) -> Iterator[Attempt]:
    """Send what browsers send for a stranger's page."""
    for host in _FOREIGN_HOSTS:
        yield from _as_host(target, host)
    for page in _PAGES:
        yield from _as_page(target, page)
    for form in _FORMS:  # as old browsers submit forms: without any Origin
        yield _changing(
            target, f"register a model by a form of {form}", "POST", "/models", {"Content-Type": form}
        )
    yield _changing(
        target,
        "delete by a link that a script opens",
        "DELETE",
        "/models/x",
        {"Sec-Fetch-Site": "cross-site"},
    )


def _as_host(target: Target, host: str) -> Iterator[Attempt]:
    for what, method, path, headers in (
        ("list endpoints", "POST", "/", _call("ListEndpoints")),
        ("read models and their Environment", "POST", "/", _call("ListModels")),
        ("delete an endpoint", "POST", "/", _call("DeleteEndpoint")),
        ("read the status", "GET", "/status", {}),
        ("read the page", "GET", "/", {"Accept": "text/html"}),
        ("register a model", "POST", "/models", {"Content-Type": "application/json"}),
        ("get a prediction", "POST", "/invocations", {"Content-Type": "text/csv"}),
    ):
        body = {"/models": target.model, "/invocations": _ROW}.get(path, '{"EndpointName": "none"}')
        if "List" in str(headers):
            body = "{}"
        status, text, _ = target.ask(method, path, {**headers, "Host": f"{host}:{target.place.port}"}, body)
        yield Attempt(f"{what} as {host}", status not in (400, 403, 421), f"{status} {text}")


def _call(operation: str) -> dict[str, str]:
    return {"Content-Type": _JSON, "X-Amz-Target": f"SageMaker.{operation}"}


def _as_page(target: Target, page: Mapping[str, str]) -> Iterator[Attempt]:
    name = " ".join(page.values())
    for form in (*_FORMS, "application/json"):
        headers = {"Content-Type": form, **page}
        yield _changing(target, f"register a model by {form} from {name}", "POST", "/models", headers)
    yield _changing(target, f"delete a model from {name}", "DELETE", "/models/x", page)
    call = {"Content-Type": "text/plain", "X-Amz-Target": "SageMaker.DeleteEndpoint", **page}
    yield _changing(target, f"delete an endpoint from {name}", "POST", "/", call)
    for path in ("/status", "/models", "/metrics", "/openapi.json"):
        status, text, headers_of = target.ask("GET", path, page)
        readable = "access-control-allow-origin" in headers_of
        yield Attempt(f"read {path} from {name}", readable or status < 400, f"{status} {text}")
    for path in ("/", "/models", "/models/x", "/status", "/invocations"):
        for method, wanted in (("POST", "x-amz-target,content-type"), ("DELETE", "x-any")):
            asked = {
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": wanted,
                **page,
            }
            status, text, headers_of = target.ask("OPTIONS", path, asked)
            yield Attempt(
                f"leave to {method} {path} from {name}",
                status < 400 or "access-control-allow-origin" in headers_of,
                f"{status} {text}",
            )
    status, text, _ = target.ask("POST", "/invocations", {"Content-Type": "text/csv", **page}, _ROW)
    yield Attempt(f"get a prediction from {name}", status < 400, f"{status} {text}")


def _changing(target: Target, what: str, method: str, path: str, headers: Mapping[str, str]) -> Attempt:
    before = target.state()
    status, text, _ = target.ask(method, path, headers, target.model)
    return Attempt(what, status != 403 or target.state() != before, f"{status} {text}")


# ---- a real page

_SCRIPT = """
const S = SERVER, model = MODEL, said = [];
const tell = (what, got) =>
  said.push(`${got === null ? "refused" : "SUCCEEDED"}: ${what}: ${got ?? "nothing"}`);
async function attempt(what, path, options) {
  try {
    const answer = await fetch(S + path, options);
    if (answer.type === "opaque") tell(what, null);  // nothing is read; the server is looked at afterwards
    else tell(what, `${answer.status} ${(await answer.text()).slice(0, 80)}`);
  } catch (error) { tell(what, null); }
}
function submit(action, type) {
  const form = document.body.appendChild(document.createElement("form"));
  const frame = document.body.appendChild(document.createElement("iframe"));
  frame.name = "f" + Math.random();
  Object.assign(form, { method: "POST", enctype: type, action: S + action, target: frame.name });
  const field = form.appendChild(document.createElement("input"));
  field.name = model.slice(0, -1) + ', "x": "'; field.value = '"}';
  const loaded = new Promise((done) => { frame.onload = done; setTimeout(done, 2000); });
  form.submit();
  return loaded;
}
(async () => {
  const plain = { "Content-Type": "text/plain" };
  const target = { "X-Amz-Target": "SageMaker.ListEndpoints", "Content-Type": "application/x-amz-json-1.1" };
  for (const mode of ["cors", "no-cors"]) {
    const post = { method: "POST", mode, headers: plain };
    await attempt(`page: POST /models, ${mode}`, "/models", { ...post, body: model });
    await attempt(`page: POST / as text, ${mode}`, "/", { ...post, body: "{}" });
    await attempt(`page: GET /status, ${mode}`, "/status", { mode });
    await attempt(`page: GET /models, ${mode}`, "/models", { mode });
    await attempt(`page: a prediction, ${mode}`, "/invocations", { ...post, body: "1" });
  }
  await attempt("page: POST /models as JSON", "/models",
    { method: "POST", headers: { "Content-Type": "application/json" }, body: model });
  await attempt("page: POST / with a target", "/", { method: "POST", headers: target, body: "{}" });
  await attempt("page: DELETE /models/x", "/models/x", { method: "DELETE" });
  navigator.sendBeacon(S + "/models", new Blob([model], { type: "text/plain" }));
  for (const type of ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
    await submit("/models", type);
  document.body.textContent = said.join("\\n") + "\\nEND";
})();
"""


def attack_by_page(target: Target, chromium: str) -> Iterator[Attempt]:
    """Have a real browser open a page of another origin that attacks."""
    before = target.state()
    script = _SCRIPT.replace("SERVER", json.dumps(target.url)).replace("MODEL", json.dumps(target.model))
    page = f"<!doctype html><meta charset=utf-8><body><script>{script}</script>"
    with Site({"/": page}) as site:
        text = read_page(chromium, site.url)
    lines = [line for line in text.splitlines() if line.startswith(("refused: ", "SUCCEEDED: "))]
    if "END" not in text or not lines:
        yield Attempt("page: all attempts", True, f"the page did not come to its end: {text[:120]}")
    for line in lines:
        verdict, what, came = line.split(": ", 1)[0], line.split(": ", 1)[1], ""
        yield Attempt(what, verdict == "SUCCEEDED", came)
    after = target.state()
    yield Attempt(
        "page: any effect of forms, beacons and requests without answers", after != before, str(after)
    )
    rebound = f"http://rebound.example:{target.place.port}/status"
    text = read_page(chromium, rebound, "--host-resolver-rules=MAP rebound.example 127.0.0.1")
    yield Attempt("page: read /status by a name that was rebound", "SAGEBIRD_ALLOWED_HOSTS" not in text, text)


def read_page(chromium: str, url: str, *options: str) -> str:
    """The text of a page's document, some seconds after it was opened in a browser without a window."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}",
            "--virtual-time-budget=15000",
            *options, "--dump-dom", url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout


def find_chromium() -> str | None:
    """The browser's command, if it is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


class Site:
    """A web site of one's own on http://localhost: pages by their paths, for the length of a `with` block."""

    def __init__(self, pages: Mapping[str, str], port: int = 0) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = pages.get(self.path, "").encode()
                self.send_response(200 if self.path in pages else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> "Site":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def main(arguments: list[str]) -> int:
    """Try everything; 1 if anything succeeded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="the server, as http://127.0.0.1:8080")
    parser.add_argument(
        "--model", default="models/iris-logistic", help="a folder that could be registered as a model"
    )
    parser.add_argument("--no-browser", action="store_true", help="leave the real page out")
    options = parser.parse_args(arguments)
    target = Target(options.url, options.model)
    chromium = None if options.no_browser else find_chromium()
    attempts = list(attack_by_hand(target))
    if chromium is not None:
        attempts += attack_by_page(target, chromium)
    for attempt in attempts:
        print(attempt)
    succeeded = sum(attempt.succeeded for attempt in attempts)
    print(
        f"{len(attempts)} attempts, {succeeded} succeeded" + ("" if chromium else "; no real page was opened")
    )
    return 1 if succeeded else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
