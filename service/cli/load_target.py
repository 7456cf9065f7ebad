"""What `sagebird load` is pointed at: where it is, what works on it, how its traffic should be shared out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer

from service.cli.labelled import LabelledRows
from service.cli.media import type_of
from service.cli.refusal import fail
from service.cli.server import DEFAULT_URL, choices, find_endpoint, locate, status
from service.errors import LoadRefused
from service.load.aws import Signer, describe_weights, find_region, runtime_url
from service.load.plan import RequestBody, ServerAddress, parse_place


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """Where requests go and what is known of the `endpoint`.

    `region` is AWS's if requests are signed; `weights` is None, with a `note`, where they are not known;
    `example` is the endpoint's example request as /status gives it.
    """

    endpoint: str
    url: str
    place: ServerAddress
    region: str | None
    weights: Mapping[str, float] | None
    note: str = ""
    example: Mapping[str, Any] | None = None


def refuse(message: str) -> NoReturn:
    """End the command: it was asked for something that makes no sense. Exit code 2."""
    raise typer.BadParameter(message)


def find_target(
    endpoint: str | None,
    given_url: str | None,
    remote: bool,
    aws: bool,
    region: str | None,
    target_model: str | None = None,
) -> LoadTarget:
    """Look the endpoint up; a server that is not this machine must have been allowed."""
    if aws:
        if remote or given_url:
            refuse("--aws finds the address itself: leave --url (and SAGEBIRD_URL) and --remote out.")
        if endpoint is None:
            refuse("Name the endpoint.")
        return _find_on_aws(endpoint, region)
    if region is not None:
        refuse("--region goes with --aws.")
    url = locate(given_url)
    place = _parse(url)
    if not place.is_here and not remote:
        refuse(
            f"{place.host} is another machine, and load can hurt whoever runs it. If it is yours, say so "
            "with --remote (or --aws for an endpoint of your AWS account)."
        )
    card = _only_endpoint(url) if endpoint is None else find_endpoint(url, endpoint, target_model)
    weights = {each["name"]: each["weight"] for each in card["variants"] if not each["pending"]}
    return LoadTarget(card["name"], url, place, None, weights, example=card["example"])


def _only_endpoint(url: str) -> Any:
    cards = status(url)["endpoints"]
    if len(cards) != 1:
        refuse(f"Name the endpoint: {url} has {choices(cards)}.")
    return cards[0]


def row_bodies(rows: LabelledRows, content_type: str | None) -> tuple[RequestBody, ...]:
    """Each row as a request of its own."""
    kind = content_type or rows.content_type
    return tuple(RequestBody(rows.body(row, row + 1), kind) for row in range(len(rows.rows)))


def find_bodies(
    target: LoadTarget, files: list[Path], content_type: str | None, rows: LabelledRows | None
) -> tuple[tuple[RequestBody, ...], str | None]:
    """The requests that take turns, and the model that the example is for on a multi-model endpoint."""
    if rows is not None:
        return row_bodies(rows, content_type), None
    found = [file for name in files for file in _files_of(name)]
    if found:
        return tuple(RequestBody(_read(file), content_type or type_of(file)) for file in found), None
    if target.example is None:
        fail(f"No example request of {target.endpoint} is known: give one with --body FILE.")
    example = target.example
    body = RequestBody(example["body"].encode(), content_type or example["content_type"])
    return (body,), example["target_model"]


def _find_on_aws(endpoint: str, region: str | None) -> LoadTarget:
    try:
        named = region or find_region()
        if named is None:
            refuse("Name the endpoint's AWS region with --region.")
        Signer(named)
        url = runtime_url(named)
    except LoadRefused as error:
        fail(error.message)
    weights, note = None, ""
    try:
        weights = describe_weights(named, endpoint)
    except LoadRefused as error:
        note = f"The weights are not known: {error.message}"
    return LoadTarget(endpoint, url, _parse(url), named, weights, note)


def _parse(url: str) -> ServerAddress:
    place = parse_place(url)
    if place is None:
        refuse(f"{url} is no address of a server, such as {DEFAULT_URL}.")
    return place


def _files_of(name: Path) -> list[Path]:
    """The file itself, or the files of a folder by name."""
    if not name.is_dir():
        return [name]
    files = sorted(file for file in name.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        refuse(f"{name} has no files in it.")
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
