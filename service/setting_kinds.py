"""What settings are read as, of how people write them: sizes, lists of names, lists of rates."""

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from service.machine import parse_size
from service.rates import split_rates


def _split(text: object) -> object:
    if isinstance(text, str):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


Size = Annotated[int, BeforeValidator(parse_size)]
Rates = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_rates)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
