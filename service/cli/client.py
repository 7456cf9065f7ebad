"""The command client: a snippet that asks an endpoint, in a language of choice."""

from typing import Annotated
from urllib.parse import quote

import typer

from service.cli.client_snippets import LANGUAGES, DescribedEndpoint
from service.cli.refusal import fail
from service.cli.server import Url, call


def client(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")],
    lang: Annotated[str, typer.Option(help="ts, js, python or curl.")] = "curl",
    url: Url = "",
) -> None:
    """Print a snippet that asks an endpoint: ready to use, with the endpoint's own columns and an example.

    In ts, js and python it is a module that also reports what came of predictions. A key is read where it
    runs, from SAGEBIRD_API_KEY.
    """
    write = LANGUAGES.get(lang.lower())
    if write is None:
        fail(f"There is no snippet in {lang}: {', '.join(LANGUAGES)} are there.")
    found = call(url, "GET", f"/endpoints/{quote(endpoint, safe='')}").json()
    typer.echo(write(DescribedEndpoint(url.rstrip("/"), found)))
