"""README.md and docs/ do what they say: a newcomer follows each page, over a copy of the samples.

The pages of docs/howto/ are followed in test_howtos.py, so that two processes share the work.
"""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_group

from service.cli import make_app
from tests.conftest import ROOT, RunningServer
from tests.docs.conftest import ORIGIN, check_page
from tests.docs.markdown import read_blocks
from tests.docs.pages import COMMANDS, PAGES, README, name_of
from tests.docs.reader import Reader, steps
from tests.docs.terminal import Terminal
from tests.harness import web

HOWTOS = ROOT / "docs" / "howto"
WEB_PAGE = HOWTOS / "web-page.md"
AWS_PAGE = HOWTOS / "aws-cli.md"  # whose commands test_howtos.py runs
IMAGES = HOWTOS / "images.md"  # whose commands need a Docker engine
CARDS = sorted(path.parent.name for path in (ROOT / "models").glob("*/README.md"))
SHELL_LINES = [
    pytest.param(line, id=f"{name_of(page)}: {line}")
    for page in PAGES
    for block in read_blocks(page)
    if block.language == "sh"
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines()
]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent != HOWTOS and list(steps(read_blocks(page)))], ids=name_of
)
def test_a_page_prints_what_it_shows_and_leaves_nothing_behind(page: Path, reader: Reader) -> None:
    check_page(page, reader)


@pytest.mark.parametrize("page", [README, WEB_PAGE], ids=name_of)
def test_the_page_in_a_browser_may_do_what_its_example_does(page: Path, reader: Reader) -> None:
    (example,) = (text for text in _scripts(page) if "fetch(" in text)
    headers = yaml.safe_load(re.findall(r"headers: ({.*})", example)[0])
    url = re.findall(r'fetch\("(.*?)"', example)[0].replace("http://localhost:8080", reader.server.url)
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(headers).lower(),
    }

    preflight = web.options(url, headers={"Origin": ORIGIN, **asked})
    body = re.findall(r'body: "(.*?)"', example)[0]
    answer = web.post(url, content=body, headers={"Origin": ORIGIN, **headers})

    assert preflight.is_success
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert (answer.status_code, answer.json()) == (200, [0])
    readable = answer.headers["access-control-expose-headers"].lower()
    assert re.findall(r'get\("(.*?)"\)', example)[0] in readable
    assert f"SAGEBIRD_CORS_ORIGINS={ORIGIN} make serve" in page.read_text(encoding="utf-8")


def test_the_module_of_the_page_is_there_with_what_is_imported_from_it(reader: Reader) -> None:
    (example,) = (text for text in _scripts(WEB_PAGE) if "import " in text)
    names, url = re.findall(r'import {(.*)} from "(.*?)"', example)[0]

    answer = web.get(
        url.replace("http://localhost:8080", reader.server.url), headers={"Origin": ORIGIN}, timeout=60
    )

    assert answer.headers["access-control-allow-origin"] == ORIGIN
    for name in names.split(", "):
        assert f"export async function {name}(" in answer.text


def _scripts(page: Path) -> list[str]:
    return [block.text for block in read_blocks(page) if block.language == "js"]


@pytest.mark.parametrize("line", SHELL_LINES)
def test_what_a_page_sets_up_is_there(line: str) -> None:
    words = [word for word in shlex.split(line) if "=" not in word]

    match words:
        case ["make", target]:
            assert re.search(
                rf"^{target}:.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
            )
        case ["docker", "compose", *asked]:
            _check_compose(asked)
        case ["sagebird()", "{", "docker", "compose", "exec", service, "sagebird", "$@;", "}"]:
            assert _services()[service]["command"][0] == "sagebird"
        case ["echo", ">>", ".env", *_]:
            compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
            assert all(f"${{{name}:-" in compose for name in re.findall(r"(SAGEBIRD_\w+)=", line))
        case ["mkdir", "-p", folder, "&&", "cp", file, _]:
            assert folder.startswith("data/")  # the other folder is only read
            assert (ROOT / file).is_file()
        case ["pip", "install", "--constraint", constraints, *packages]:
            pinned = (ROOT / constraints).read_text(encoding="utf-8")
            assert all(f"\n{package}==" in pinned for package in packages)
        case [".", script]:
            assert script == ".venv/bin/activate"  # made by make serve
        case _:
            _check_for_images(line, words)


def _check_for_images(line: str, words: list[str]) -> None:
    """A line that needs an image of somebody's is one that its tools take, and fits the rest of its page."""
    match words:
        case ["docker", "build", "--tag", image, folder]:
            _check_build(image, folder)
        case ["mkdir", "-p", folder, "&&", "echo", _, ">", file]:
            _check_data(folder, Path(file))
        case ["sagebird", command, *_]:
            all_words = shlex.split(line)
            at = all_words.index("sagebird")
            assert {word.partition("=")[0] for word in all_words[:at]} <= _settings_told()
            given = all_words[at + 2 :]
            get_group(make_app(command)).commands[command].make_context(command, given)  # fails if it may not
        case ["curl", url, "-d", _]:
            (endpoint,) = re.findall(r"^localhost:8080/endpoints/([\w-]+)/invocations$", url)
            assert f" --name {endpoint} " in IMAGES.read_text(encoding="utf-8")
        case ["export"]:
            followed = AWS_PAGE.read_text(encoding="utf-8")
            assert all(f" {name}=" in followed for name in re.findall(r" (\w+)=", line))
        case ["aws", *_]:
            _check_aws(shlex.split(line)[1:])
        case _:
            pytest.fail(f"nothing checks this line: {line}")


def _settings_told() -> set[str]:
    """The settings that the reference has."""
    told = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(SAGEBIRD_\w+)` \|", told, re.MULTILINE))


def _check_build(image: str, folder: str) -> None:
    """The page has each file that the image is built of, which answers what it must, and serves it."""
    page = IMAGES.read_text(encoding="utf-8")
    texts = {block.language: block.text for block in read_blocks(IMAGES)}
    copied = re.findall(r"^COPY (\S+) ", texts["dockerfile"], re.MULTILINE)
    routes = [
        (call.func.attr, ast.literal_eval(call.args[0]))
        for function in ast.parse(texts["py"]).body
        if isinstance(function, ast.FunctionDef)
        for call in function.decorator_list
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    ]

    assert copied == ["app.py"]
    assert all(f"`{folder}/{name}`:\n" in page for name in ("Dockerfile", *copied))
    assert routes == [("get", "/ping"), ("post", "/invocations")]
    assert "0.0.0.0:8080" in texts["dockerfile"]
    assert "/usr/local/bin/serve" in texts["dockerfile"]
    assert f"--image {image}\n" in page
    assert f"Image={image}," in page


def _check_data(folder: str, file: Path) -> None:
    """A model's file that is written lies where the page serves it from, and is what its program reads."""
    page = IMAGES.read_text(encoding="utf-8")
    bucket, is_bucket = folder.removeprefix("data/s3/"), folder.startswith("data/s3/")

    assert file.parent == Path(folder)
    assert f'"/opt/ml/model/{file.name}"' in page
    assert (f"ModelDataUrl=s3://{bucket}/\n" if is_bucket else f"sagebird deploy {folder} ") in page


def _check_aws(arguments: list[str]) -> None:
    """The aws CLI finds no fault with a command before it looks for a server, and there is none."""
    nowhere = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_MAX_ATTEMPTS": "1",
    }
    command = [str(Path(sys.executable).parent / "aws"), *arguments]

    found = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=60)

    assert "Could not connect to the endpoint URL" in found.stderr, found.stderr


def _check_compose(asked: list[str]) -> None:
    """A line for Docker Compose names services, folders and commands that there are."""
    match asked:
        case ["up" | "down" | "ps", *_]:
            assert {"server", "worker"} <= set(_services())
        case ["exec", service, "sagebird", command, *_]:
            assert _services()[service]["command"][0] == "sagebird"
            assert f"| `sagebird {command}" in COMMANDS.read_text(encoding="utf-8")
        case ["run", "--rm", "--no-deps", "-T", "--user", _, service, "python", "-", "<", _]:
            assert "./models:/app/models" in _services()[service]["volumes"]  # where others only read it
        case _:
            pytest.fail(f"nothing checks this of docker compose: {asked}")


def _services() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


@pytest.mark.parametrize("card", CARDS)
def test_the_calls_of_a_model_card_work(card: str, samples: RunningServer) -> None:
    calls = [
        block.text for block in read_blocks(ROOT / "models" / card / "README.md") if block.language == "sh"
    ]
    counted = "curl() { command curl -s -o /dev/null -w '%{http_code}\\n' \"$@\"; }\n"

    statuses = Terminal(ROOT, samples.url).type(counted + "\n".join(calls)).split()

    assert statuses == ["200"] * "\n".join(calls).count("curl ")
    assert len(statuses) >= 2
