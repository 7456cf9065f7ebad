"""The commands that talk to a running server over HTTP: invoke, endpoints, models."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from httpx import Response
from rich.table import Table

from service.cli.asked import AcceptHeader, TargetContainer, TargetModel, TargetVariant, headers_for
from service.cli.media import guessed_type, known_type
from service.cli.refusal import fail
from service.cli.server import (
    Url,
    ask,
    error_text,
    expect_sagebird,
    find_endpoint,
    hint_names,
    is_of_body,
    status,
)
from service.cli.told import cell, open_console, print_table, told, told_lines

_SHOWN = 60


def invoke(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")],
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|-",
            help="The request; - reads standard input.  \\[default: standard input; the endpoint's example "
            "if that is a terminal or empty]",
            show_default=False,
        ),
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option(
            help="Content-Type.  \\[default: by the file's ending, else JSON if it looks so, else text/csv]",
            show_default=False,
        ),
    ] = None,
    accept: AcceptHeader = None,
    target_model: TargetModel = None,
    target_variant: TargetVariant = None,
    target_container: TargetContainer = None,
    url: Url = "",
) -> None:
    """Send one request to an endpoint; the answer goes to standard output, its variant to standard error."""
    given = _piped() if file is None else _read_request(file)
    if file is None and not given:
        body, given_type, example_model = _example_request(url, endpoint, content_type, target_model)
    else:
        body, example_model = given, None
        given_type = known_type(file or "-") or guessed_type(body)
    asked = headers_for(accept, target_variant, target_model or example_model, target_container)
    headers = {"Content-Type": content_type or given_type, **dict(asked)}
    path = f"/endpoints/{quote(endpoint, safe='')}/invocations"
    response = ask(url, "POST", path, content=body, headers=headers)
    if not response.is_success:
        names = hint_names(url, endpoint) if response.is_client_error else ""
        fail(error_text(response) + names + _hint_type(response, content_type, given_type))
    expect_sagebird(url, response)
    _show(response)


def endpoints(
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the endpoints that a running server has."""
    document = status(url)
    cards = document["endpoints"]
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    table = Table("endpoint", "status", "variant", "weight", "share", "model")
    for card in cards:
        name = card["name"] + (" (default)" if card["default"] else "")
        for row, variant in enumerate(card["variants"]):
            table.add_row(
                cell(name if row == 0 else ""),
                cell(card["status"]) if row == 0 else "",
                cell(variant["name"] + (" (coming)" if variant["pending"] else "")),
                f"{variant['weight']:g}",
                f"{variant['share']:.0%}",
                cell(variant["model"]),
            )
    console = open_console()
    print_table(console, table)
    for notice in document.get("notices", ()):
        console.print(told_lines(notice), markup=False, style="red", soft_wrap=True)
    for card in cards:
        if card["failure_reason"]:
            text = told_lines(f"{card['name']}: {card['failure_reason']}")
            console.print(text, markup=False, style="red", soft_wrap=True)


def models(
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show the models that a running server has: on disk, loading, loaded, or failed and why."""
    cards = status(url)["models"]
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    table = Table("model", "state", "gateways", "memory", "what it is")
    for card in cards:
        table.add_row(
            cell(card["name"]),
            cell(card["state"]),
            str(card["gateways"] or ""),
            f"{card['size_bytes'] / 2**20:.1f} MiB" if card["size_bytes"] else "",
            cell(card["description"]),
        )
    console = open_console()
    print_table(console, table)
    for card in cards:
        for note in card["notes"]:
            console.print(told_lines(f"{card['name']}: {note}"), markup=False, style="yellow", soft_wrap=True)


def _show(response: Response) -> None:
    """The answer on standard output, who gave it on standard error."""
    sys.stdout.buffer.write(response.content)
    if not response.content.endswith(b"\n") and (sys.stdout.isatty() or _share_a_place()):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    variant = response.headers.get("x-amzn-invoked-production-variant", "")
    sys.stderr.write(told(f"variant {variant}, {response.headers.get('content-type', '')}") + "\n")


def _share_a_place() -> bool:
    """Whether standard error goes where standard output goes, so that its lines come after the answer."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):  # one of them is closed or no file
        return False


def _hint_type(response: Response, content_type: str | None, sent: str) -> str:
    """Where the body was refused and nobody has said what it is: as what it was sent."""
    if content_type is not None or not is_of_body(response):
        return ""
    return f" It was sent as {sent}: --content-type says another."


def _piped() -> bytes:
    """What stands on standard input, nothing if that is closed or a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return b""
    return sys.stdin.buffer.read()


def _read_request(file: str) -> bytes:
    if file == "-":
        if sys.stdin is None:
            fail("Standard input is closed: name a file.")
        if sys.stdin.isatty():
            sys.stderr.write("Type the request, then Ctrl-D at the beginning of a line.\n")
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")


def _example_request(
    url: str, endpoint: str, content_type: str | None, target_model: str | None
) -> tuple[bytes, str, str | None]:
    """The endpoint's example: its body, its type and the model it is for; says so, as nobody asked for it."""
    example = find_endpoint(url, endpoint, target_model)["example"]
    what = f"of {endpoint}" if target_model is None else f"of {endpoint} for {target_model}"
    if (
        example is None
        or (target_model or example["target_model"]) != example["target_model"]
        or (content_type or example["content_type"]) != example["content_type"]
    ):
        kind = "" if content_type is None else f" as {content_type}"
        fail(f"No example request {what}{kind} is known: name a file, or - to type one.")
    lines = example["body"].strip().splitlines() or [""]
    shown = lines[0][:_SHOWN] + (" …" if len(lines) > 1 or len(lines[0]) > _SHOWN else "")
    sys.stderr.write(
        told(f"No request was given; sending the example {what} ({example['content_type']}): {shown}") + "\n"
    )
    return example["body"].encode(), example["content_type"], example["target_model"]
