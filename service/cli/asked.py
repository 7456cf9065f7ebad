"""Whom a request of a command is for and what it accepts: the options, and the headers that they become."""

from collections.abc import Iterator
from typing import Annotated

import typer

from service.load.plan import TARGET_VARIANT

AcceptHeader = Annotated[str | None, typer.Option(help="Accept, e.g. text/csv.", show_default=False)]
TargetVariant = Annotated[
    str | None, typer.Option(help="Ask this variant, whatever its weight.", show_default=False)
]
TargetModel = Annotated[str | None, typer.Option(help="Model of a multi-model endpoint.", show_default=False)]
TargetContainer = Annotated[
    str | None,
    typer.Option(help="Container of an endpoint whose containers are called directly.", show_default=False),
]


def headers_for(
    accept: str | None, variant: str | None, model: str | None, container: str | None
) -> Iterator[tuple[str, str]]:
    """Name and value of each header that somebody asked for."""
    named = {
        "Accept": accept,
        TARGET_VARIANT: variant,
        "X-Amzn-SageMaker-Target-Model": model,
        "X-Amzn-SageMaker-Target-Container-Hostname": container,
    }
    yield from ((name, value) for name, value in named.items() if value is not None)
