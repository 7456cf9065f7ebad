"""Heads of hot requests that were read before: found again by their bytes, without reading them anew.

Calls of one client differ in the values of a few headers that say neither where a request goes nor who sent
it: when it was signed and by what signature, which attempt and which trace it belongs to, how long its body
is. Those values are no part of what a head is known by. They are left out where they are of their usual form,
in a line of their own, whose name stays; whatever else stands there makes another head, which is read from
its beginning. So two heads that are known by the same differ in such values alone, and what was found of one
holds for the other, but for the length of its body.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple

from service.http.asgi import Headers
from service.http.remembered import Epoch, Remembered
from service.http.reply import Answering, AnsweringOf

_MOST_HEADS = 1024
_MOST_HEAD_BYTES = 4096
_MOST_HEADS_BYTES = 2 << 20
_MOST_LAYOUTS = 256
_LAYOUT_BYTES = 2048  # of memory, about
_MOST_DIGITS = 5
# What stays of a line, spelled as clients do, and what is left out if that is all there is behind it. The
# credential stays: it says who asks, for which region and of which service. So does a session's token.
_VARYING = (
    (rb"[Cc]ontent-[Ll]ength: ", rb"[0-9]{1,%d}" % _MOST_DIGITS),
    (
        rb"[Aa]uthorization: AWS4-HMAC-SHA256 "
        rb"Credential=[!-+\--~]++, ?SignedHeaders=[!-+\--~]++, ?Signature=",
        rb"[0-9a-f]{64}",
    ),
    (rb"[Xx]-[Aa]mz-[Dd]ate: ", rb"[0-9]{8}T[0-9]{6}Z"),
    (rb"[Xx]-[Aa]mz-[Cc]ontent-(?:[Ss]ha|SHA)256: ", rb"[0-9a-f]{64}"),
    (rb"[Aa]mz-[Ss]dk-[Ii]nvocation-[Ii]d: ", rb"[0-9A-Za-z-]{1,64}"),
    (rb"[Aa]mz-[Ss]dk-[Rr]equest: ", rb"[0-9A-Za-z=; ]{1,64}"),
    (rb"[Xx]-[Aa]mzn-[Tt]race-[Ii]d: ", rb"[0-9A-Za-z=;:|.-]{1,256}"),
    (rb"[Tt]raceparent: ", rb"[0-9a-f-]{55}"),
)
_LINE = re.compile(rb"\r\n(?:%b)" % b"|".join(rb"(%b)(?=%b\r\n)" % pair for pair in _VARYING))
_LENGTH = 1  # the group that holds its name
# The names of those headers, group by group.
_VARYING_NAMES = (
    *(b"content-length", b"authorization", b"x-amz-date", b"x-amz-content-sha256"),
    *(b"amz-sdk-invocation-id", b"amz-sdk-request", b"x-amzn-trace-id", b"traceparent"),
)
# All that such values are made of: nothing in here could be taken for the end of a line.
_HARMLESS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=;:|. -"
_SCHEME = b"AWS4-HMAC-SHA256 "
PASSING = frozenset(
    (
        *(b"content-length", b"x-amz-date", b"x-amz-content-sha256"),
        *(b"amz-sdk-invocation-id", b"amz-sdk-request", b"x-amzn-trace-id", b"traceparent"),
    )
)
"""The headers whose values differ from call to call."""


class Known(NamedTuple):
    """A head that was read before: who answers its requests, and how long their bodies are.

    What answers a request that has to prove what it is depends on its body: then this is for `judge` to say.
    """

    answering: Answering
    body_bytes: int
    judge: Callable[[bytes], Answering] | None = None

    def of(self, body: bytes) -> Answering:
        """What answers the request with this body."""
        return self.answering if self.judge is None else self.judge(body)


class _Alike(NamedTuple):
    """What is known of heads that differ in nothing but what is left out of them.

    Their bodies' length is at the place `length_at` among those values; below 0 it is none of them, and all
    have bodies of `body_bytes`. Of those that `come_again` nothing else is left out. Where those values
    and the body say who asks, what answers is `proven` by them.
    """

    answering: Answering
    length_at: int
    body_bytes: int
    come_again: bool
    proven: AnsweringOf | None


class _Layout(NamedTuple):
    """Where in a head the values stand that are left out: what takes those, and what takes the rest."""

    values: Callable[[bytes], tuple[bytes, ...]]
    rest: Callable[[bytes], tuple[bytes, ...]]


class KnownHeads:
    """The heads of hot requests, for as long as an epoch lasts.

    Those that may come again as they are, byte for byte, are found by one look-up. The others are taken to
    pieces where heads of the same length were, which is right or finds nothing: then it is looked where.
    """

    def __init__(self, epoch: Epoch, most_body_bytes: int, most_head_bytes: int = _MOST_HEAD_BYTES) -> None:
        """Requests with larger bodies are none of those that are hot, and longer heads may be refused."""
        self._whole = Remembered[bytes, Known](_MOST_HEADS, _MOST_HEADS_BYTES)
        self._alike = Remembered[tuple[bytes, ...], _Alike](_MOST_HEADS, _MOST_HEADS_BYTES)
        self._layouts = Remembered[int, _Layout](_MOST_LAYOUTS, _MOST_LAYOUTS * _LAYOUT_BYTES)
        self._most_body_bytes = most_body_bytes
        self._most_head_bytes = min(most_head_bytes, _MOST_HEAD_BYTES)
        epoch.holds(self._whole)
        epoch.holds(self._alike)
        self.young: Mapping[bytes, Known] = self._whole.young
        """Most of those that come again as they are, for who looks here first; always the same object."""

    def find(self, head: bytes) -> Known | None:
        """What is known of a head, its last empty line included; None for anything else."""
        known = self._whole.find(head)
        size = len(head)
        if known is not None or size > self._most_head_bytes:
            return known
        layout = self._layouts.find(size)
        if layout is not None:
            known = self._find_alike(head, layout)
        if known is None:
            spans, _ = _spans(head)
            layout = _layout(spans, size)
            known = self._find_alike(head, layout)
            if known is not None:
                self._layouts.keep(size, layout, _LAYOUT_BYTES)
        return known

    def keep(self, head: bytes, answering: Answering, body_bytes: int, headers: Headers) -> None:
        """Remember a head that was read, and its headers, where the connection goes on behind it."""
        size = len(head)
        if size > self._most_head_bytes:
            return
        spans, groups = _spans(head)
        proven = None
        if answering.proving is not None:
            proven = answering.proving.alike(
                headers, [_VARYING_NAMES[group - 1] for group in groups if group]
            )
            if proven is None:
                return
        length_at = groups.index(_LENGTH) if _LENGTH in groups else -1
        come_again = len(groups) == (length_at >= 0) and proven is None
        alike = _Alike(answering, length_at, body_bytes, come_again, proven)
        self._alike.keep(_layout(spans, size).rest(head), alike, size)

    def _find_alike(self, head: bytes, layout: _Layout) -> Known | None:
        alike = self._alike.find(layout.rest(head))
        if alike is None:
            return None
        values = layout.values(head)
        if b"".join(values).translate(None, _HARMLESS):
            return None
        body_bytes = alike.body_bytes
        if alike.length_at >= 0:
            digits = values[alike.length_at]
            if not digits.isdigit() or len(digits) > _MOST_DIGITS:
                return None
            body_bytes = int(digits)
            if body_bytes > self._most_body_bytes:
                return None
        if alike.proven is not None:
            return Known(alike.answering, body_bytes, partial(alike.proven, values))
        known = Known(alike.answering, body_bytes)
        if alike.come_again:
            self._whole.keep(head, known, len(head))
        return known


def _spans(head: bytes) -> tuple[list[tuple[int, int]], list[int | None]]:
    """Where the values begin and end that are left out, and in which groups their names are."""
    found = list(_LINE.finditer(head))
    return [(line.end(), head.index(b"\r", line.end())) for line in found], [line.lastindex for line in found]


def _layout(spans: Sequence[tuple[int, int]], size: int) -> _Layout:
    begins, ends = [begin for begin, _ in spans], [end for _, end in spans]
    # An empty slice more, for a getter of one thing gives no tuple.
    nothing = slice(0, 0)
    values = itemgetter(*map(slice, begins, ends), nothing, nothing)
    return _Layout(values, itemgetter(*map(slice, [0, *ends], [*begins, size]), nothing))


def lasting(headers: Headers) -> Headers:
    """Those of a request's headers (lower-case names) that an answer to all alike may rest on.

    Of a signature it is whose it is. What varies from call to call has to be read of each.
    """
    return [
        (name, value.partition(b"Signature=")[0] if value.startswith(_SCHEME) else value)
        for name, value in headers
        if name not in PASSING
    ]
