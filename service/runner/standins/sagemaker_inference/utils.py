"""Small things. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def read_file(path: str, mode: str = "r") -> Any:
    """What a file holds."""
    with open(path, mode) as file:
        return file.read()


def write_file(path: str, data: Any, mode: str = "w") -> None:
    """Make a file hold this."""
    with open(path, mode) as file:
        file.write(data)


def retrieve_content_type_header(request_property: Mapping[str, str]) -> str | None:
    """The request's content type, however its header is spelled."""
    return next(
        (value for name, value in request_property.items() if re.match("^[Cc]ontent-?[Tt]ype", name)), None
    )


def remove_crlf(illegal_string: str) -> str:
    """The text without line breaks."""
    return re.sub("[\r\n]+", " ", illegal_string)
