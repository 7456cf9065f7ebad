"""Smithy's RPC over CBOR. Faults alone, for no service that speaks it is served."""

from service.http.reply import Asked, Reply
from service.wire.faults import fault_status, known_error

_TEXT = 0x60
_SMALL = 24


class CborFaults:
    """For clients that say `smithy-protocol: rpc-v2-cbor`."""

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """A map of two texts. Source: RFC 8949, 3."""
        known = known_error(error, asked.request_id)
        headers = [
            (b"Content-Type", b"application/cbor"),
            (b"smithy-protocol", b"rpc-v2-cbor"),
            (b"x-amzn-RequestId", asked.request_id.encode("ascii")),
        ]
        members = [("__type", known.code), ("message", known.message)]
        body = bytes([0xA0 + len(members)]) + b"".join(_text(text) for pair in members for text in pair)
        return Reply(fault_status(known, known.code), headers, body)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if len(data) < _SMALL:
        return bytes([_TEXT + len(data)]) + data
    return bytes([_TEXT + _SMALL + 1]) + len(data).to_bytes(2, "big") + data
