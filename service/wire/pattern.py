r"""AWS (Java) regular expressions as Python ones. No shapes and no messages in here.

AWS tests a whole value, as Java's `matches()` does. Java and Python differ in their escapes (`\z`, `\p{L}`),
in what stands between brackets (nesting, `&&`), in `.` and `$` (more line ends than `\n`), in anchors that
may be repeated and in `\d \w \s`, which are ASCII in Java.
"""

import re
from functools import cache
from types import MappingProxyType

from service.wire import code_points as points
from service.wire.code_points import CodePoints

_SEMANTIC_VERSION = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
)
_IMAGE_VERSION = rf"(^\d+$)|(^\d+.\d+$)|({_SEMANTIC_VERSION})"

# Patterns of AWS that backtrack too much on a hostile value, and an equal that does not.
_HARMLESS = MappingProxyType(
    {
        # Every value without the three line ends that are neither matched by `.` nor listed in the brackets.
        r".*(?:[ \r\n\t].*)*": r"[^\u0085\u2028\u2029]*",
        r".*(?:[ \r\n\t].*)*.*": r"[^\u0085\u2028\u2029]*",
        # One turn of the group already takes what two would.
        r"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?": r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        # The first two alternatives as one: a whole number, or two with one other character in between.
        _IMAGE_VERSION: rf"(?:\d+(?:[^0-9\n\r\u0085\u2028\u2029]\d+)?)|(?:{_SEMANTIC_VERSION})",
        # Runs between slashes: at least three characters in all, each run taken whole.
        r"https://([.\-_a-zA-Z0-9]+/?){3,1016}": (
            r"https://(?=([.\-_a-zA-Z0-9]/?){3})([.\-_a-zA-Z0-9]++(?:/|\z)){1,1016}"
        ),
    }
)

# Source: java.util.regex.Pattern without MULTILINE and UNIX_LINES: `$` and `\Z` stand at the end of the input
# or before a line end that ends it, never between `\r` and `\n`.
_BEFORE_LAST_LINE_END = r"(?=(?:\r\n|(?<!\r)\n|[\r\u0085\u2028\u2029])?\Z)"

_ANCHORS = MappingProxyType(
    {"A": r"\A", "z": r"\Z", "Z": _BEFORE_LAST_LINE_END, "b": r"\b", "B": r"\B", "G": r"\A"}
)
_CONTROLS = MappingProxyType({"t": 9, "n": 10, "r": 13, "f": 12, "a": 7, "e": 27})
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})[+?]?")
_GROUP_START = re.compile(r"\((?:\?(?:<([a-zA-Z][a-zA-Z0-9]*)>|<[=!]|[:=!>]))?")
_LEADING_FLAGS = re.compile(r"\(\?([is]+)\)")
_HEXADECIMAL = re.compile(r"u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|x\{([0-9a-fA-F]{1,6})\}")
_OCTAL = re.compile(r"0([0-3][0-7]{0,2}|[0-7]{1,2})")
_PROPERTY = re.compile(r"[pP](?:\{(\w+)\}|(\w))")
_REFERENCE = re.compile(r"([1-9])|k<([a-zA-Z][a-zA-Z0-9]*)>")


@cache
def compile_pattern(java_regex: str) -> re.Pattern[str]:
    """The pattern whose `match` succeeds only on the whole of a value that AWS would accept.

    Raises: ValueError for what is not translated: scripts and blocks, flags in mid-pattern, graphemes.
    Source: java.util.regex.Pattern.
    """
    text = _HARMLESS.get(java_regex, java_regex)
    try:
        return re.compile(_Translation(text).run(), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"pattern {java_regex!r}: {error}") from error


class _Translation:
    """One pass over one Java pattern; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._dot = points.complement(points.LINE_ENDS)

    def run(self) -> str:
        """The Python pattern, bound to the whole value."""
        flags = self._leading_flags()
        parts: list[str] = []
        while self._at < len(self._text):
            parts.append(self._token())
        return rf"{flags}(?:{''.join(parts)})\Z"

    def _leading_flags(self) -> str:
        found = _LEADING_FLAGS.match(self._text)
        if found is None:
            return ""
        self._at = found.end()
        if "s" in found[1]:
            self._dot = points.named("all")
        return "(?i)" if "i" in found[1] else ""

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _peek(self, wanted: str) -> bool:
        return self._text.startswith(wanted, self._at)

    def _next(self) -> str:
        if self._at == len(self._text):
            raise ValueError(f"pattern {self._text!r} ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _token(self) -> str:
        quantifier = self._take(_QUANTIFIER)
        if quantifier is not None:
            return quantifier[0]
        if self._peek("("):
            return self._group_start()
        character = self._next()
        if character == "[":
            return points.write_class(self._class())
        if character == "\\":
            return self._escape()
        if character == ".":
            return points.write_class(self._dot)
        if character in "^$":
            return self._anchor(r"\A" if character == "^" else self._end())
        return character if character in "|)" else re.escape(character)

    def _group_start(self) -> str:
        found = self._take(_GROUP_START)
        assert found is not None  # noqa: S101 - the expression matches any "("
        if found[1]:
            return f"(?P<{found[1]}>"
        if found[0] == "(" and self._peek("?"):
            raise ValueError(f"pattern {self._text!r}: flags inside the pattern are not supported")
        return found[0]

    def _end(self) -> str:
        # At the end of the pattern nothing can take the line end that a lenient `$` would leave.
        return r"\Z" if self._at == len(self._text) else _BEFORE_LAST_LINE_END

    def _anchor(self, anchor: str) -> str:
        """Python refuses to repeat an anchor, Java does not."""
        return f"(?:{anchor})" if _QUANTIFIER.match(self._text, self._at) else anchor

    def _escape(self) -> str:
        """What follows a backslash outside brackets."""
        reference = self._take(_REFERENCE)
        if reference is not None:
            return f"(?P={reference[2]})" if reference[2] else f"(?:\\{reference[1]})"
        anchor = _ANCHORS.get(self._text[self._at : self._at + 1])
        if anchor is not None:
            self._at += 1
            return self._anchor(anchor)
        if self._peek("Q"):
            return re.escape(self._quoted())
        if self._peek("R"):
            self._at += 1
            return r"(?:\r\n|[\n-\r\u0085\u2028\u2029])"
        return points.write_class(self._escaped_set())

    def _quoted(self) -> str:
        end = self._text.find(r"\E", self._at)
        quoted = self._text[self._at + 1 : end if end >= 0 else None]
        self._at = end + 2 if end >= 0 else len(self._text)
        return quoted

    def _escaped_set(self) -> CodePoints:
        """The characters that an escape stands for, inside brackets or outside."""
        found = self._take(_PROPERTY)
        if found is not None:
            named = points.named(found[1] or found[2])
            return points.complement(named) if found[0][0] == "P" else named
        letter = self._text[self._at : self._at + 1]
        predefined = points.PREDEFINED.get(letter.lower())
        if predefined is not None:
            self._at += 1
            return points.complement(predefined) if letter.isupper() else predefined
        point = self._escaped_point()
        return ((point, point),)

    def _escaped_point(self) -> int:
        octal = self._take(_OCTAL)
        if octal is not None:
            return int(octal[1], 8)
        hexadecimal = self._take(_HEXADECIMAL)
        if hexadecimal is not None:
            return self._joined(int(next(filter(None, hexadecimal.groups())), 16))
        letter = self._next()
        if letter == "c":
            return ord(self._next()) ^ 64
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter.isascii() and letter.isalnum():
            raise ValueError(f"pattern {self._text!r}: escape \\{letter} is not supported")
        return ord(letter)

    def _joined(self, point: int) -> int:
        r"""A high surrogate and the low one after it are one character, `\uD800\uDC00` too."""
        if 0xD800 <= point <= 0xDBFF and self._peek("\\u"):
            low = _HEXADECIMAL.match(self._text, self._at + 1)
            if low is not None and 0xDC00 <= int(low[1], 16) <= 0xDFFF:
                self._at = low.end()
                return 0x10000 + ((point - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        return point

    def _class(self) -> CodePoints:
        """What stands between brackets, the first of them taken: the union of items, `&&` between unions."""
        negated = self._peek("^")
        self._at += negated
        operands: list[CodePoints] = []
        items: list[CodePoints] = []
        while not self._peek("]") or not (items or operands):
            if self._peek("&&"):
                self._at += 2
                operands.append(points.union(*items))
                items = []
            else:
                items.append(self._class_item())
        self._at += 1
        found = points.intersection(*operands, points.union(*items)) if operands else points.union(*items)
        return points.complement(found) if negated else found

    def _class_item(self) -> CodePoints:
        character = self._next()
        if character == "[":
            return self._class()
        if character == "\\":
            if self._peek("Q"):
                return points.union(tuple((ord(one), ord(one)) for one in self._quoted()))
            found = self._escaped_set()
            if len(found) != 1 or found[0][0] != found[0][1]:
                return found
            low = found[0][0]
        else:
            low = ord(character)
        return ((low, self._range_end(low)),)

    def _range_end(self, low: int) -> int:
        """The last character of a range; a `-` before `]` or `[` is no range."""
        if not self._peek("-") or self._text[self._at + 1 : self._at + 2] in {"]", "[", ""}:
            return low
        self._at += 1
        character = self._next()
        high = self._escaped_point() if character == "\\" else ord(character)
        if high < low:
            raise ValueError(f"pattern {self._text!r}: range ends before it starts")
        return high
