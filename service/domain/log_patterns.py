"""Filter patterns of CloudWatch Logs: which lines somebody wants to see, by terms and phrases.

Source: AWS, "Filter pattern syntax", for unstructured log events. Patterns of JSON, of columns and regular
expressions are not read.
"""

import re
from typing import Final, NamedTuple, NoReturn

from service.errors import ServiceFault

_TERM: Final = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_MOST_TERMS: Final = 64


class LogPattern(NamedTuple):
    """A line is wanted with `all` of these texts, one of `some` unless there are none, and none of `none`."""

    all: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    none: tuple[str, ...] = ()


def read_log_pattern(text: str) -> LogPattern:
    """What a pattern wants. Raises ServiceFault."""
    text = text.strip()
    if text[:1] in ("{", "[", "%"):
        _refuse("sagebird reads terms and phrases, no patterns of JSON, of columns or regular expressions")
    found: dict[str, list[str]] = {"": [], "?": [], "-": []}
    at = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None:
            _refuse("a quote is not closed, or stands inside of a word")
        sign, phrase, word = term.groups()
        found[sign].append(word if phrase is None else re.sub(r"\\(.)", r"\1", phrase))
        at = term.end()
    terms = [each for some in found.values() for each in some]
    if len(terms) > _MOST_TERMS or not all(terms):
        _refuse(f"it has empty terms, or more than {_MOST_TERMS}")
    # Source: AWS; what is optional counts only where nothing else is asked for.
    some = () if found[""] else tuple(found["?"])
    return LogPattern(tuple(found[""]), some, tuple(found["-"]))


def _refuse(why: str) -> NoReturn:
    raise ServiceFault("InvalidParameterException", f"Invalid filter pattern: {why}.")
