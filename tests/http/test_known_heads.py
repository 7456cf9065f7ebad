import random
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from service.http.head import Head, HeadLimits, Refused, read_head
from service.http.known_heads import KnownHeads, lasting
from service.http.remembered import Epoch
from service.http.reply import Answering
from tests.contracts.odd_heads import BODY, VARYING, signed, table

_LIMITS = HeadLimits()
_MOST_BODY_BYTES = 65_536
_USED = b"Signature=" + b"0123456789abcdef" * 4


def _head(request: bytes) -> bytes:
    return request[: request.find(b"\r\n\r\n") + 4]


def _answering() -> Answering:
    return Answering(None, lambda asked: [[] for _ in asked])


def _knowing(*heads: bytes) -> KnownHeads:
    known = KnownHeads(Epoch(), _MOST_BODY_BYTES)
    for head in heads:
        known.keep(head, _answering(), read_head(head, _LIMITS).length or 0, [])
    return known


def _without(name: bytes, *lines: bytes) -> bytes:
    others = (line for line in VARYING if not line.lower().startswith(name.lower()))
    return _head(signed([*others, *lines]))


def test_a_head_that_was_kept_is_found_and_no_other() -> None:
    known = _knowing(_head(signed()))
    for _ in range(3):
        found = known.find(_head(signed()))
        assert found is not None
        assert found.body_bytes == len(BODY)
    assert known.find(_head(signed())[:-2]) is None
    assert known.find(_head(signed().replace(b"text/csv", b"text/CSV"))) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: AWS4-HMAC-SHA256 Credential=%b/20261128/r/s/aws4_request, SignedHeaders=h, " + _USED,
        b"X-Amz-Date: 2026112%dT163000Z",
        b"x-amz-date: 2026112%dT163000Z",
        b"X-Amz-Content-SHA256: " + b"%d" * 64,
        b"x-amz-content-sha256: " + b"%d" * 64,
        b"X-Amz-Content-Sha256: " + b"%d" * 64,
        b"amz-sdk-invocation-id: 1f6c2a3e-0f4a-4a7e-9a8e-2f6e3b4a7c1%d",
        b"Amz-Sdk-Invocation-Id: 1f6c2a3e-0f4a-4a7e-9a8e-2f6e3b4a7c1%d",
        b"amz-sdk-request: ttl=20261128T163000Z; attempt=%d; max=5",
        b"X-Amzn-Trace-Id: Root=1-67891233-abcdef01234567891234567%d;Lineage=a87bd80c:1|68fd508a:5",
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e473%d-00f067aa0ba902b7-01",
        b"Content-Length: 1%d",
        b"content-length: 1%d",
    ],
)
def test_values_that_say_nothing_of_a_call_make_no_other_head(line: bytes) -> None:
    name = line.partition(b":")[0]
    some = [line.replace(b"%d", b"%d" % number).replace(b"%b", b"AKID") for number in (1, 2)]
    if name == b"Authorization":
        some[1] = some[1].replace(b"Signature=0123", b"Signature=3210")
    one, other = (_without(name, each) for each in some)
    assert one != other
    assert _knowing(one).find(other) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"AKIDEXAMPLE", b"AKIDANOTHER"),
        (b"20261128/", b"20261129/"),
        (b"us-east-1", b"eu-west-1"),
        (b"/sagemaker/", b"/s3/"),
        (b"SignedHeaders=host;x-amz-date", b"SignedHeaders=host"),
        (b"localhost", b"localhost."),
        (b"text/csv", b"text/csw"),
        (b"POST /hot ", b"POST /hop "),
        (b"User-Agent: ", b"X-Amz-Security-Token: "),
        (b"X-Amz-Content-SHA256: fedc", b"X-Amz-Content-SHA256: STRE"),
        (b"traceparent: 00-4", b"traceparent: 00+4"),
        (b"Content-Length: 15", b"Content-Length: 100000"),
    ],
)
def test_what_says_something_of_a_call_makes_another_head(old: bytes, new: bytes) -> None:
    assert old in signed()
    assert _knowing(_head(signed())).find(_head(signed().replace(old, new))) is None


def test_a_value_counts_where_it_is_a_part_of_another() -> None:
    lines = (b"X-Amzn-SageMaker-Custom-Attributes: " + _USED, b"X-Note: X-Amz-Date: 20261128T163000Z")
    known = _knowing(_head(signed([*lines, *VARYING])))
    assert known.find(_head(signed([lines[0].replace(b"=0", b"=1"), lines[1], *VARYING]))) is None
    assert known.find(_head(signed([lines[0], lines[1].replace(b"2026", b"2027"), *VARYING]))) is None


@pytest.mark.parametrize("digits", [b"0", b"7", b"007", b"16", b"65536"])
def test_the_length_is_that_of_the_head_at_hand(digits: bytes) -> None:
    known = _knowing(_head(signed()))
    for _ in range(2):
        found = known.find(_without(b"Content-Length", b"Content-Length: " + digits))
        assert found is not None
        assert found.body_bytes == int(digits)


def test_a_length_in_another_form_is_a_part_of_the_head() -> None:
    head = _without(b"Content-Length", b"Content-Length:15")
    known = _knowing(head)
    found = known.find(head.replace(b"163000Z", b"163001Z"))
    assert found is not None
    assert found.body_bytes == 15
    assert known.find(head.replace(b"Length:15", b"Length:16")) is None


def test_larger_bodies_are_not_of_a_known_head() -> None:
    known = _knowing(_head(signed()))
    assert known.find(_without(b"Content-Length", b"Content-Length: 65537")) is None


def test_only_heads_that_come_again_are_found_at_once() -> None:
    plain = b"POST /hot HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
    known = _knowing(plain, _head(signed()))
    for head in (plain, plain.replace(b"3", b"4"), _head(signed())):
        assert known.young.get(head) is None
        assert known.find(head) is not None
    assert known.young.get(plain) is known.find(plain)
    assert known.young.get(plain.replace(b"3", b"4")) is not None
    assert known.young.get(_head(signed())) is None


def test_a_head_without_a_length_is_known_too() -> None:
    bare = b"POST /hot HTTP/1.1\r\nHost: h\r\n\r\n"
    found = _knowing(bare).find(bare)
    assert found is not None
    assert found.body_bytes == 0


def test_nothing_is_known_in_the_next_epoch() -> None:
    epoch = Epoch()
    known = KnownHeads(epoch, _MOST_BODY_BYTES)
    plain = b"POST /hot HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
    for head in (plain, _head(signed())):
        known.keep(head, _answering(), 3, [])
        assert known.find(head) is not None
    epoch.move()
    for head in (plain, _head(signed())):
        assert known.young.get(head) is known.find(head) is None


def test_a_long_head_is_not_kept() -> None:
    long = _without(b"traceparent", b"X-Long: " + b"7" * 4096)
    assert _knowing(long).find(long) is None


def test_what_is_asked_again_is_known_however_many_others_come() -> None:
    known = _knowing(_head(signed()))
    first = known.find(_head(signed()))
    for number in range(3000):
        other = _head(signed([b"X-Number: %d" % number, *VARYING]))
        known.keep(other, _answering(), 15, [])
        if number % 100 == 0:
            assert known.find(_head(signed())) == first
    assert known.find(_head(signed([b"X-Number: 0", *VARYING]))) is None


def _same(head: bytes) -> tuple[Any, ...]:
    """What a head says but for what may vary. Raises: Refused."""
    parsed: Head = read_head(head, _LIMITS)
    names = [name for name, _ in parsed.headers]
    return (
        *(parsed.method, parsed.target, parsed.version, parsed.expects, parsed.keep_alive),
        *(names, lasting(parsed.headers)),
    )


def _mutated(chance: random.Random) -> Iterator[bytes]:
    """Heads near a signed one: pieces of odd ones joined, bytes and lines changed, taken away and put in."""
    heads = [_head(odd.data) for odd in table()]
    inserts = [b"\r\n", b"\r", b"\n", b" ", b"\0", b":", b"Content-Length: 3\r\n", b"0", b"a", b"\t", b";"]
    while True:
        lines = (_head(signed()) if chance.randrange(2) else chance.choice(heads)).split(b"\r\n")
        others, at = chance.choice(heads).split(b"\r\n"), chance.randrange(len(lines))
        if not chance.randrange(3):
            lines[at : at + chance.randrange(2)] = others[at : at + chance.randrange(3)]
        mutated = b"\r\n".join(lines)
        for _ in range(chance.randrange(3)):
            where = chance.randrange(len(mutated) + 1)
            mutated = mutated[:where] + chance.choice(inserts) + mutated[where + chance.randrange(2) :]
        yield _head(mutated)


def test_no_head_is_known_that_would_be_read_in_another_way() -> None:
    usual = _head(signed())
    known, expected = _knowing(usual), _same(usual)
    heads = _mutated(random.Random(13))
    found = 0
    for _ in range(10_000):
        head = next(heads)
        hit = known.find(head)
        if hit is not None:
            found += 1
            assert read_head(head, _LIMITS).length == hit.body_bytes
            assert _same(head) == expected
    assert found > 1000


def test_an_odd_head_that_is_kept_is_known_for_what_it_is() -> None:
    kept = []
    known = KnownHeads(Epoch(), _MOST_BODY_BYTES)
    for odd in table():
        head = _head(odd.data)
        try:
            length = read_head(head, _LIMITS).length
        except Refused:
            continue
        if length is not None and length <= _MOST_BODY_BYTES and known.find(head) is None:
            known.keep(head, Answering(head, lambda asked: []), length, [])
            kept.append(head)
    for odd in table():
        hit = known.find(_head(odd.data))
        if hit is not None:
            assert read_head(_head(odd.data), _LIMITS).length == hit.body_bytes
            assert _same(_head(odd.data)) == _same(hit.answering.head)
    assert len(kept) > 50


def test_calls_of_one_boto3_client_are_known_by_one_head() -> None:
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 1}),
    )
    heads = []

    def capture(request: Any, **_: Any) -> AWSResponse:
        lines = [f"{name}: {_text(value)}" for name, value in request.headers.items()]
        head = ["POST /endpoints/iris/invocations HTTP/1.1", "Host: 127.0.0.1:1", *lines, "", ""]
        heads.append("\r\n".join(head).encode())
        raw: Any = None
        return AWSResponse(request.url, 200, {}, raw)

    client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", capture)
    for body in (b"5.1,3.5,1.4,0.2", b"5", b"5.1,3.5,1.4,0.2\n" * 10):
        client.invoke_endpoint(EndpointName="iris", ContentType="text/csv", Body=body)
    known = _knowing(heads[0])
    sizes = []
    for head in heads:
        hit = known.find(head)
        assert hit is not None
        sizes.append(hit.body_bytes)
    assert sizes == [15, 1, 160]
    assert len(set(heads)) == 3


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
