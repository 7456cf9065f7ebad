"""Signatures of chunks: those of AWS's own examples are right, and nothing else is."""

import pytest

from service.wire.signed_chunks import SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, SignedChunks
from service.wire.sigv4 import CredentialScope, GivenSignature, signing_key

_SCOPE = CredentialScope("AKIAIOSFODNN7EXAMPLE", "20130524", "us-east-1", "s3")
_KEY = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", _SCOPE)
_TRAILER = "x-amz-checksum-crc32c:sOO8/Q=="
_SIZES = (65_536, 1024, 0)
# Of the head, of each chunk, and of what is behind them. Source: S3 API reference, "Signature calculations".
_PLAIN = (
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
_TRAILING = (
    "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
)


def _framed(signatures: tuple[str, ...]) -> bytes:
    body = b""
    for size, signature in zip(_SIZES, signatures[1:], strict=False):
        body += (
            f"{size:x};chunk-signature={signature}\r\n".encode() + b"a" * size + (b"\r\n" if size else b"")
        )
    if len(signatures) > 4:
        body += f"{_TRAILER}\r\nx-amz-trailer-signature:{signatures[4]}\r\n".encode()
    return body + b"\r\n"


def _told(body: bytes, payload: bytes, head: str, part: int = 1 << 20) -> str:
    given = GivenSignature(_SCOPE, (b"host",), head.encode(), b"20130524T000000Z")
    chunks = SignedChunks(_KEY, given, payload)
    for at in range(0, len(body), part):
        chunks.update(body[at : at + part])
    return chunks.hexdigest()


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("part", [7, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("signatures", "payload"), [(_PLAIN, SIGNED_CHUNKS), (_TRAILING, SIGNED_CHUNKS_TRAILER)]
)
def test_awss_own_examples_are_right_however_they_come(
    signatures: tuple[str, ...], payload: bytes, part: int
) -> None:
    assert _told(_framed(signatures), payload, signatures[0], part) == payload.decode()


@pytest.mark.parametrize(
    ("signatures", "payload"), [(_PLAIN, SIGNED_CHUNKS), (_TRAILING, SIGNED_CHUNKS_TRAILER)]
)
def test_what_was_changed_is_not_right(signatures: tuple[str, ...], payload: bytes) -> None:
    body, head = _framed(signatures), signatures[0]
    second = body.index(b"400;")
    changed = {
        "a byte": body.replace(b"aaaa", b"aaab", 1),
        "another head": body,
        "a chunk less": body[:second] + body[second + len(b"400;chunk-signature=") + 64 + 1024 + 4 :],
        "a chunk twice": body[:second] + body[second : second + 1112] + body[second:],
        "its end": body[:-2],
        "a signature": body.replace(b";chunk-signature=" + signatures[2].encode(), b""),
        "no chunks": b"hello",
        "more behind": body + b"x",
        "nothing": b"",
        "another trailer": body[:-2] + b"x-amz-meta-a:b\r\n\r\n",
    }

    told = {
        name: _told(each, payload, head if name != "another head" else signatures[1])
        for name, each in changed.items()
    }

    assert told == dict.fromkeys(changed, "")


def test_what_is_behind_the_chunks_has_a_signature_of_its_own() -> None:
    body, payload = _framed(_TRAILING), SIGNED_CHUNKS_TRAILER
    unsigned = body.replace(b"x-amz-trailer-signature:" + _TRAILING[4].encode() + b"\r\n", b"")

    assert _told(body.replace(b"sOO8/Q==", b"sOO8/A=="), payload, _TRAILING[0]) == ""
    assert _told(unsigned, payload, _TRAILING[0]) == ""
