"""Replies as bytes: where a client expects no body there is none, or it would be taken for the next reply."""

import pytest
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.rendering import render


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_content_is_rendered_without(status: int) -> None:
    line = STATUS_LINE[status]
    assert render(line, b"", b"a: b\r\n", b"ignored", keep_alive=True) == line + b"a: b\r\n\r\n"


def test_all_else_says_how_long_it_is() -> None:
    line = STATUS_LINE[205]
    assert render(line, b"c: d\r\n", b"", b"", keep_alive=False) == (
        line + b"c: d\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
