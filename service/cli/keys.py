"""The commands that make, list and revoke access keys, in the data folder itself: no server has to run."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from service.access.key_file import open_key_file
from service.access.minting import Minted, mint
from service.cli.folders import DataFolder
from service.cli.refusal import fail
from service.cli.told import cell, open_console, print_table, told_names
from service.clock import SystemClock
from service.control.access_keys import add_access_key, list_access_keys, revoke_access_key
from service.domain.access_keys import ANY_ENDPOINT, AccessKey, Permission, matches
from service.domain.kinds import Kind
from service.errors import SagebirdError
from service.machine import parse_size
from service.rates import RequestRate, read_rate
from service.settings import Settings, load_settings
from service.store.store import Store

_FOR_NOBODY_ELSE = 0o077
_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_PATTERN: Final = re.compile(r"[A-Za-z0-9*-]{1,64}")
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_Concurrency = Annotated[
    int | None,
    typer.Option(
        help="How many of its requests may be under way at once.  \\[default: any]", show_default=False, min=1
    ),
]
_Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        help="Endpoints it is for, with commas or again for more; `*` stands for any text.  \\[default: *]",
        show_default=False,
    ),
]
_Allowed = Annotated[
    list[str] | None,
    typer.Option(
        help="What it allows, with commas or again for more: `invoke`, `read`, `manage` (which sees, too)."
        "  \\[default: invoke]",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]

keys = typer.Typer(help="Make, list and revoke the keys of callers.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="Whose key it is: letters, digits and _.@-, at most 64.")],
    endpoints: _Endpoints = None,
    allow: _Allowed = None,
    rate: Annotated[
        str | None,
        typer.Option(help="How often it may ask, e.g. 50/s or 600/m.  \\[default: any]", show_default=False),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option(
            help="How many may come at once.  \\[default: as in a second]", show_default=False, min=1
        ),
    ] = None,
    max_body: Annotated[
        str | None,
        typer.Option(help="Largest body, e.g. 100kB.  \\[default: the server's]", show_default=False),
    ] = None,
    concurrency: _Concurrency = None,
    expires: Annotated[
        str | None,
        typer.Option(help="How long it is good, e.g. 12h or 90d.  \\[default: for ever]", show_default=False),
    ] = None,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Make a key and show its secrets, this once.

    The API key is for curl and web pages, the pair of access key id and secret access key for AWS's clients.
    """
    permissions, patterns = _permissions(allow or [Permission.INVOKE]), _patterns(endpoints or [ANY_ENDPOINT])
    if not _NAME.fullmatch(name):
        fail(f"{name!r} is no name for a key: letters, digits and _.@-, at most 64.")
    if ANY_ENDPOINT not in patterns and permissions != {Permission.INVOKE}:
        fail(
            "A key for some endpoints can only invoke: what is to be seen and changed is of the whole server."
        )
    now_s, limit, most_bytes = SystemClock().now().timestamp(), _rate(rate, burst), _size(max_body)
    with _opened(data) as (settings, store):
        key_file = open_key_file(settings.keys_secret)
        until_s = _expiry(expires, now_s)
        minted = mint(name, permissions, patterns, key_file, now_s, until_s, limit, most_bytes, concurrency)
        add_access_key(store, minted.key)
        hint = _hint_names(store, patterns)
    typer.echo(json.dumps(_secrets(minted), indent=2) if as_json else _told_once(minted))
    if hint:
        typer.echo(hint, err=True)


def _hint_names(store: Store, patterns: Sequence[str]) -> str:
    """What to say where no endpoint matches a pattern: a slip, unless the endpoint is still to come."""
    names = [each.name for each in store.of_kind(Kind.ENDPOINT)]
    unmet = [pattern for pattern in patterns if not any(matches(pattern, name) for name in names)]
    if not names or not unmet:
        return ""
    return f"sagebird: no endpoint is called {', '.join(unmet)} so far; there are {told_names(names)}"


@keys.command("list")
def list_keys(data: DataFolder = None, as_json: Json = False) -> None:
    """Show the keys, the newest first; no secret is kept that could be shown."""
    with _opened(data) as (_, store):
        found = list_access_keys(store)
    now_s = SystemClock().now().timestamp()
    if as_json:
        typer.echo(json.dumps([_document(key, now_s) for key in found], indent=2))
        return
    table = Table(
        "key", "name", "allows", "endpoints", "rate", "at once", "max body", "created (UTC)", "state"
    )
    for key in found:
        table.add_row(
            cell(key.id),
            cell(key.name),
            ", ".join(_sorted(key)),
            cell(", ".join(key.endpoints)),
            "" if key.rate is None else str(key.rate),
            "" if key.concurrency is None else f"{key.concurrency:,}",
            "" if key.most_body_bytes is None else _told_size(key.most_body_bytes),
            _date(key.created_at),
            _state(key, now_s),
        )
    print_table(open_console(), table)


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The access key id.")], data: DataFolder = None
) -> None:
    """Take a key back: within a second no gateway lets anybody in by it."""
    with _opened(data) as (_, store):
        revoked = revoke_access_key(store, key, SystemClock().now().timestamp())
    typer.echo(f"{revoked.id} ({revoked.name}) is revoked")


@contextmanager
def _opened(data: Path | None) -> Iterator[tuple[Settings, Store]]:
    """The store of a data folder, which is made unless it is there; what is refused ends the command."""
    settings = load_settings(data=data)
    os.umask(_FOR_NOBODY_ELSE)
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"The data folder {settings.data} cannot be made: {error.strerror} (name another with --data).")
    try:
        store = Store(settings.state)
        try:
            yield settings, store
        finally:
            store.close()
    except SagebirdError as error:
        fail(error.message)


def _parts(given: Sequence[str]) -> list[str]:
    """What was listed, by commas or by several options."""
    return [part.strip() for part in ",".join(given).split(",") if part.strip()]


def _permissions(given: Sequence[str]) -> set[Permission]:
    names = {*_parts(given)}
    unknown = sorted(names - set(Permission))
    if unknown or not names:
        fail(f"{', '.join(unknown) or 'Nothing'} is nothing that a key allows: {', '.join(Permission)}.")
    return {Permission(name) for name in names}


def _patterns(given: Sequence[str]) -> tuple[str, ...]:
    patterns = tuple(_parts(given))
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            fail(f"{pattern!r} is no name of an endpoint, and no pattern of names such as iris-*.")
    if not patterns:
        fail("Name the endpoints that the key is for, or `*` for all.")
    return patterns


def _rate(text: str | None, burst: int | None) -> RequestRate | None:
    if text is None:
        if burst is not None:
            fail("--burst goes with --rate.")
        return None
    try:
        return read_rate(text if burst is None else f"{text}:{burst}")
    except ValueError as error:
        fail(f"{error}.")


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        size = parse_size(text)
    except ValueError:
        size = None
    if "%" in text or not isinstance(size, int):
        fail(f"{text!r} is no size for a body, such as 500, 100kB or 2MB.")
    return size


def _told_size(size_bytes: int) -> str:
    """A size in the largest unit in which it is a whole number."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor:,} {unit}"
    return f"{size_bytes:,} B"


def _expiry(text: str | None, now_s: float) -> float | None:
    if text is None:
        return None
    found = _SPAN.fullmatch(text)
    if found is None or not int(found[1]):
        fail(f"{text!r} is no time for a key to be good, such as 30m, 12h or 90d.")
    return now_s + int(found[1]) * _SECONDS[found[2]]


def _secrets(minted: Minted) -> dict[str, Any]:
    document = _document(minted.key, minted.key.created_at)
    return document | {"secret_access_key": minted.secret_access_key, "api_key": minted.api_key}


def _document(key: AccessKey, now_s: float) -> dict[str, Any]:
    return {
        "access_key_id": key.id,
        "name": key.name,
        "allow": _sorted(key),
        "endpoints": list(key.endpoints),
        "created_at": key.created_at,
        "rate": None if key.rate is None else str(key.rate),
        "max_body_bytes": key.most_body_bytes,
        "concurrency": key.concurrency,
        "expires_at": key.expires_at,
        "state": _state(key, now_s),
    }


def _told_once(minted: Minted) -> str:
    key = minted.key
    until = "" if key.expires_at is None else f", until {_date(key.expires_at)} UTC"
    return (
        f"{key.name} may {', '.join(_sorted(key))} at {', '.join(key.endpoints)}{until}. "
        "Its secrets are shown this once:\n"
        f"  access key id      {key.id}\n"
        f"  secret access key  {minted.secret_access_key}\n"
        f"  API key            {minted.api_key}"
    )


def _sorted(key: AccessKey) -> list[str]:
    return [str(permission) for permission in Permission if permission in key.permissions]


def _state(key: AccessKey, now_s: float) -> str:
    if key.is_revoked:
        return "revoked"
    if key.expires_at is None:
        return "good"
    return "expired" if key.has_expired(now_s) else f"good until {_date(key.expires_at)}"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
