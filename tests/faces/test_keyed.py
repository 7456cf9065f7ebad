"""Who comes in by which key, by both ways in, and what he is told who does not."""

import gzip
import http.client
import json
import random
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service.access.minting import Minted
from service.domain.access_keys import Permission
from service.rates import RequestRate
from tests.contracts.http_server import Talk
from tests.faces.keyed import LIMIT_BYTES, ORIGIN, KeyedServer

PATH = "/endpoints/iris/invocations"
_CSV = {"Content-Type": "text/csv"}


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "asgi"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeyedServer]:
    with KeyedServer(tmp_path_factory.mktemp("keyed"), fast=request.param) as found:
        yield found


@pytest.fixture
def server(running: KeyedServer) -> Iterator[KeyedServer]:
    """A server without any key."""
    running.begin_anew()
    yield running
    running.close_lines()


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def by(self) -> str | None:
        """Whose request it was, if it came in."""
        return self.headers.get("x-by") if self.status == 200 else None


class Line:
    """One connection that is kept."""

    def __init__(self, server: KeyedServer) -> None:
        self.server = server
        self._connection = http.client.HTTPConnection(*server.address, timeout=30)
        server.closing.append(self._connection.close)

    def send(
        self, headers: Mapping[str, str], body: bytes = b"1,2", path: str = PATH, method: str = "POST"
    ) -> Answer:
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())

    def sign(
        self,
        minted: Minted,
        body: bytes = b"1,2",
        path: str = PATH,
        method: str = "POST",
        signer: Any = SigV4Auth,
        token: str | None = None,
        **headers: str,
    ) -> tuple[dict[str, str], str]:
        """The headers of a request that is signed now, and its path, in which the signature may be."""
        pair = Credentials(minted.key.id, minted.secret_access_key, token)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, f"{self.server.url}{path}", headers=_CSV | named, data=body)
        signer(pair, "sagemaker", "us-east-1").add_auth(request)
        return {k: str(v) for k, v in request.headers.items()}, request.url.removeprefix(self.server.url)


def _refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (status, code)


def test_a_key_comes_in_in_each_way_that_it_may_be_sent(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    basic = b64encode(f"anyone:{key.api_key}".encode()).decode()

    for name, value in (
        ("X-Api-Key", key.api_key),
        ("Authorization", f"Bearer {key.api_key}"),
        ("Authorization", f"Basic {basic}"),
    ):
        for _ in range(3):
            assert line.send(_CSV | {name: value}).by == key.key.name


def test_without_a_good_key_nobody_comes_in(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    for _ in range(3):
        _refused(line.send(_CSV), 401, "MissingAuthenticationTokenException")
        _refused(line.send(_CSV | {"X-Api-Key": "sbk_wrong"}), 401, "UnrecognizedClientException")
        _refused(line.send(_CSV | {"X-Api-Key": key.key.id}), 401, "UnrecognizedClientException")
        _refused(line.send(_CSV | {"X-Api-Key": key.secret_access_key}), 401, "UnrecognizedClientException")
        both = {"X-Api-Key": key.api_key, "Authorization": f"Bearer {key.api_key}"}
        _refused(line.send(_CSV | both), 401, "IncompleteSignatureException")

    assert server.bodies == []


def test_a_web_caller_is_told_in_json_what_is_missing(server: KeyedServer) -> None:
    for path in (PATH, "/status", "/invocations"):
        answer = Line(server).send({}, path=path, method="GET" if path == "/status" else "POST")

        assert answer.headers["content-type"] == "application/json"
        assert "X-Api-Key" in json.loads(answer.body)["Message"]
        assert answer.headers["www-authenticate"] == 'Bearer realm="sagebird"'


def test_a_browser_is_asked_for_a_password(server: KeyedServer) -> None:
    answer = Line(server).send({"Accept": "text/html,*/*"}, b"", "/status", "GET")

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_signed_calls_come_in_one_after_the_other(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    for number in range(20):
        body = b"1,2\n" * (1 + number % 3)
        headers, _ = line.sign(
            key, body, amz_sdk_invocation_id=f"id-{number}", amz_sdk_request="attempt=1; max=3"
        )
        answer = line.send(headers, body)
        assert (answer.by, answer.body) == (key.key.name, body)
        assert answer.headers["x-face"] == ("fast" if server.fast else "runtime")


@pytest.mark.parametrize("signer", [SigV4QueryAuth, S3SigV4Auth])
def test_other_ways_to_sign_come_in(server: KeyedServer, signer: Any) -> None:
    key, line = server.mint(Permission.INVOKE, Permission.READ), Line(server)
    for _ in range(3):
        body = b"" if signer is SigV4QueryAuth else b"1,2"
        path, method = ("/status", "GET") if signer is SigV4QueryAuth else (PATH, "POST")
        headers, path = line.sign(key, body, path, method, signer)
        assert line.send(headers, body, path, method).by == key.key.name


def test_what_was_signed_cannot_be_changed_once_heads_are_known(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    for _ in range(3):
        assert line.send(line.sign(key)[0]).by == key.key.name
    server.bodies.clear()
    headers, _ = line.sign(key)
    wrong = Minted(key.key, "another secret", key.api_key)
    signature = headers["Authorization"].rpartition("=")[2]
    flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")

    another_second = headers["X-Amz-Date"][:-3] + f"{(int(headers['X-Amz-Date'][-3:-1]) + 1) % 60:02d}Z"

    for sent, body, path in (
        (headers, b"3,4", PATH),
        (headers, b"1,2\n", PATH),
        (headers, b"", PATH),
        (line.sign(wrong)[0], b"1,2", PATH),
        (headers | {"Authorization": headers["Authorization"].replace(signature, flipped)}, b"1,2", PATH),
        (headers | {"Content-Type": "application/json"}, b"1,2", PATH),
        (headers | {"X-Amz-Date": another_second}, b"1,2", PATH),
        (headers | {"X-Amzn-SageMaker-Target-Variant": "b"}, b"1,2", PATH),
        (headers | {"X-Amz-Content-SHA256": "0" * 64}, b"1,2", PATH),
        (headers | {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, b"3,4", PATH),
        (headers, b"1,2", "/endpoints/iris2/invocations"),
        (headers, b"1,2", PATH + "?a=b"),
        (headers, b"1,2", "/endpoints/%69ris/invocations"),
        (headers, b"1,2", "/invocations"),
    ):
        _refused(line.send(sent, body, path), 403, "InvalidSignatureException")

    assert server.bodies == []
    assert line.send(headers).by == key.key.name


def test_another_token_of_a_session_is_refused_although_its_head_is_known(server: KeyedServer) -> None:
    key, line = server.mint(Permission.INVOKE, Permission.READ), Line(server)
    session, other = server.begin_session(key), server.begin_session(key)
    pair = Minted(replace(key.key, id=session.id), session.secret_access_key, "")
    for _ in range(3):
        assert line.send(line.sign(pair, token=session.token)[0]).by == key.key.name
    server.bodies.clear()

    for token in ("bogus", other.token, None):
        for _ in range(3):
            _refused(line.send(line.sign(pair, token=token)[0]), 403, "UnrecognizedClientException")
        headers, path = line.sign(pair, b"", "/status", "GET", SigV4QueryAuth, token=token)
        _refused(line.send(headers, b"", path, "GET"), 403, "UnrecognizedClientException")

    assert server.bodies == []
    assert line.send(line.sign(pair, token=session.token)[0]).by == key.key.name
    headers, path = line.sign(pair, b"", "/status", "GET", SigV4QueryAuth, token=session.token)
    assert line.send(headers, b"", path, "GET").by == key.key.name


def test_an_old_signature_is_refused_although_its_head_is_known(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    headers, _ = line.sign(key)
    assert line.send(headers).by == line.send(line.sign(key)[0]).by == key.key.name
    old = headers["X-Amz-Date"]
    year_ago = f"{int(old[:4]) - 1}{old[4:]}"
    sent = {
        name: value.replace(old, year_ago).replace(old[:8], year_ago[:8]) for name, value in headers.items()
    }

    for _ in range(2):
        answer = line.send(sent)
        _refused(answer, 403, "InvalidSignatureException")
        assert b"Signature expired" in answer.body


def test_a_body_that_is_not_signed_is_the_signers_choice(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    for number in range(3):
        headers, _ = line.sign(key, X_Amz_Content_SHA256="UNSIGNED-PAYLOAD")
        assert line.send(headers, b"%d" % number).body == b"%d" % number
        headers, _ = line.sign(key)
        _refused(line.send(headers, b"%d" % number), 403, "InvalidSignatureException")


def test_a_revoked_key_is_refused_with_the_next_request_however_it_was_known(server: KeyedServer) -> None:
    key, other, line = server.mint(), server.mint(), Line(server)
    kinds: list[Callable[[Minted], dict[str, str]]] = [
        lambda key: _CSV | {"X-Api-Key": key.api_key},
        lambda key: _CSV | {"Authorization": f"Bearer {key.api_key}"},
        lambda key: line.sign(key)[0],
    ]
    for kind in kinds:
        for _ in range(3):
            assert line.send(kind(key)).by == key.key.name
    server.revoke(key)

    for kind in kinds:
        answer = line.send(kind(key))
        assert answer.headers["x-amzn-errortype"] == "UnrecognizedClientException"
        assert line.send(kind(other)).by == other.key.name


def test_a_key_that_is_made_later_comes_in_where_it_was_refused_before(server: KeyedServer) -> None:
    line = Line(server)
    _refused(line.send(_CSV), 401, "MissingAuthenticationTokenException")
    key = server.mint()

    assert line.send(_CSV | {"X-Api-Key": key.api_key}).by == key.key.name
    _refused(line.send(_CSV), 401, "MissingAuthenticationTokenException")


def test_a_key_is_good_for_its_endpoints_and_what_it_allows(server: KeyedServer) -> None:
    iris, ops = server.mint(endpoints=["iris", "demo-*"]), server.mint(Permission.MANAGE)
    line = Line(server)

    def status(key: Minted, path: str, method: str = "POST") -> list[int]:
        signed, _ = line.sign(key, path=path, method=method)
        return [
            line.send(sent, path=path, method=method).status for sent in ({"X-Api-Key": key.api_key}, signed)
        ]

    assert status(iris, PATH) == status(iris, "/endpoints/demo-2/invocations") == [200, 200]
    assert status(iris, "/endpoints/other/invocations") == [403, 403]
    assert status(iris, "/invocations") == status(iris, "/status", "GET") == [403, 403]
    assert status(iris, "/endpoints/iris", "GET") == [200, 200]
    assert status(iris, "/endpoints/iris/experiment", "GET") == [403, 403]  # totals of all callers
    assert status(iris, "/models", "POST") == status(iris, "/models/a", "DELETE") == [403, 403]
    assert status(ops, PATH) == [403, 403]
    assert status(ops, "/status", "GET") == status(ops, "/models") == [200, 200]
    assert status(ops, "/endpoints/iris/experiment", "GET") == [200, 200]


def test_who_may_not_ask_is_told_what_his_key_allows_and_as_by_aws_where_he_signs(
    server: KeyedServer,
) -> None:
    key, line = server.mint(endpoints=["iris"]), Line(server)
    path = "/endpoints/other/invocations"
    for _ in range(2):
        told = json.loads(line.send(_CSV | {"X-Api-Key": key.api_key}, path=path).body)["Message"]
        assert told == "The key k0 allows invoke at iris; this takes invoke at endpoint other."
        answer = line.send(line.sign(key, path=path)[0], path=path)
        _refused(answer, 403, "AccessDeniedException")
        assert (
            b"is not authorized to perform: sagemaker:InvokeEndpoint on resource: arn:aws:sage" in answer.body
        )


def test_who_cannot_sign_is_not_told_what_a_key_allows(server: KeyedServer) -> None:
    key, line = server.mint(endpoints=["iris"]), Line(server)
    wrong = Minted(key.key, "another secret", key.api_key)

    for path, method in (("/endpoints/other/invocations", "POST"), ("/models", "POST"), ("/status", "GET")):
        for _ in range(2):
            answer = line.send(line.sign(wrong, path=path, method=method)[0], path=path, method=method)
            assert answer.headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_what_acts_before_it_reads_gets_no_body_that_was_not_signed(server: KeyedServer) -> None:
    key, line = server.mint(Permission.MANAGE), Line(server)
    headers, _ = line.sign(key, path="/models")

    _refused(line.send(headers, b"3,4", "/models"), 403, "InvalidSignatureException")
    assert server.bodies == []
    assert line.send(line.sign(key, path="/models")[0], path="/models").body == b"1,2"
    large = b"1" * 1_500_000
    assert Line(server).send(line.sign(key, large, "/models")[0], large, "/models").status == 413


def test_whoever_asks_whether_the_server_is_well_is_answered(server: KeyedServer) -> None:
    line = Line(server)
    for path in ("/ping", "/healthz", "/readyz"):
        assert line.send({}, b"", path, "GET").by == "caller"
        assert line.send({"X-Api-Key": "wrong"}, b"", path, "GET").headers["x-may"] == ""


def test_aws_clients_without_a_key_are_told_in_their_words(server: KeyedServer) -> None:
    line, wrong = Line(server), Minted(server.mint().key, "another", "")
    json_type = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListEndpoints"}
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = line.send(json_type, b"{}", "/")
    _refused(answer, 403, "MissingAuthenticationTokenException")
    assert json.loads(answer.body)["message"] == "Missing Authentication Token"
    assert (
        b"<Code>MissingAuthenticationToken</Code>" in line.send(form, b"Action=GetCallerIdentity", "/").body
    )
    assert json.loads(line.send(line.sign(wrong, path="/")[0], path="/").body)["Message"].startswith(
        "The request sig"
    )


def test_pages_of_other_origins_need_a_key_too_and_can_read_why(server: KeyedServer) -> None:
    key, line = server.mint(), Line(server)
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type",
    }
    page = {"Origin": ORIGIN}

    preflight = line.send(page | asked, b"", PATH, "OPTIONS")
    refused = line.send(page | _CSV)
    answered = line.send(page | _CSV | {"X-Api-Key": key.api_key})
    stranger = line.send({"Origin": "http://evil.example"} | _CSV | {"X-Api-Key": key.api_key})

    assert (preflight.status, preflight.headers["access-control-allow-headers"]) == (
        204,
        "x-api-key,content-type",
    )
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
    assert (answered.by, answered.headers["access-control-allow-origin"]) == (key.key.name, ORIGIN)
    assert (stranger.status, "access-control-allow-origin" in stranger.headers) == (403, False)


def test_many_signed_calls_at_once_are_answered_each_by_its_own_right(server: KeyedServer) -> None:
    """Several lines at once: right ones, wrong ones and keys in one round of the event loop."""
    key, other = server.mint(), server.mint(endpoints=["nothing"])
    wrong = Minted(key.key, "another", "")
    line = Line(server)
    chance = random.Random(3)
    talks = [Talk.to(server.address) for _ in range(12)]
    for _ in range(10):
        expected = []
        for number, talk in enumerate(talks):
            who, status = chance.choice([(key, b"200"), (wrong, b"403"), (other, b"403")])
            body = b"%d" % number
            sent, _ = line.sign(who, body)
            lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
            lines += f"Host: 127.0.0.1:{server.address[1]}\r\nContent-Length: {len(body)}\r\n"
            talk.send(f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            expected.append((int(status), body if status == b"200" else None))
        for talk, (status_code, body_back) in zip(talks, expected, strict=True):
            found, _, answer = talk.answer()
            assert found == status_code
            assert body_back is None or answer == body_back
    for talk in talks:
        talk.reset()


@pytest.mark.parametrize(
    "lines",
    [
        "Authorization: {signed}\r\nAuthorization: {signed}\r\n",
        "Authorization: {signed}\r\nX-Api-Key: {key}\r\n",
        "X-Api-Key: {key}\r\nX-Api-Key: {key}\r\n",
        "Authorization:\tBearer\r\n",
        "X-Api-Key: {key}x\r\n",
        "X-Api-Key:\r\n",
        "X-Api_Key: {key}\r\n",
        "X-Api-Key: \xe9\xff\r\n",
        "X-Api-Key : {key}\r\n",
        "X: 1\r\n X-Api-Key: {key}\r\n",
        "Authorization: Bearer {key} {key}\r\n",
        "Authorization: Bearer {key},{key}\r\n",
        "Authorization: AWS4-HMAC-SHA256\r\n",
        "Authorization: AWS4-HMAC-SHA256 \r\n",
        "Authorization: AWS4-HMAC-SHA256 Credential={key}\r\n",
        "X-Api-Key: " + "k" * 5000 + "\r\n",
        "Authorization: AWS4-HMAC-SHA256 Credential=" + "a/" * 2000 + "\r\n",
    ],
)
def test_odd_heads_let_nobody_in(server: KeyedServer, lines: str) -> None:
    key = server.mint()
    line = Line(server)
    sent, _ = line.sign(key)
    filled = lines.replace("{key}", key.api_key).replace("{signed}", sent["Authorization"])
    filled += f"X-Amz-Date: {sent['X-Amz-Date']}\r\nHost: 127.0.0.1:{server.address[1]}\r\n"
    for _ in range(2):
        with Talk.to(server.address) as talk:
            head = f"POST {PATH} HTTP/1.1\r\nContent-Type: text/csv\r\n{filled}Content-Length: 3\r\n"
            talk.send(head.encode("latin-1") + b"\r\n1,2")
            status, _, _ = talk.answer()
            assert status in (400, 401, 403)

    assert server.bodies == []


def test_a_key_that_asks_too_often_is_told_when_to_come_back(server: KeyedServer) -> None:
    key, other, line = server.mint(rate=RequestRate(1e-3, 6)), server.mint(), Line(server)
    sent = [_CSV | {"X-Api-Key": key.api_key}, line.sign(key)[0]]
    statuses = [line.send(sent[number % 2]).status for number in range(12)]

    assert statuses == [200] * 6 + [429] * 6
    answer = line.send(sent[0])
    _refused(answer, 429, "ThrottlingException")
    assert int(answer.headers["retry-after"]) > 900
    assert json.loads(answer.body)["Message"].startswith("Rate exceeded. The key k0 may be asked 0.001 times")
    assert len(server.bodies) == 6
    assert line.send(_CSV | {"X-Api-Key": other.api_key}).by == other.key.name


def test_nobody_uses_up_the_rate_of_a_key_by_which_he_cannot_sign(server: KeyedServer) -> None:
    key, line = server.mint(rate=RequestRate(1e-3, 3)), Line(server)
    wrong = Minted(key.key, "another secret", key.api_key)
    for number in range(10):
        assert line.send(line.sign(wrong)[0]).status == 403
        assert line.send(line.sign(key)[0], b"3,4").status == 403
        assert line.send(_CSV | {"X-Api-Key": f"{key.api_key}{number}"}).status == 401

    assert [line.send(line.sign(key)[0]).status for _ in range(4)] == [200, 200, 200, 429]


def test_an_endpoint_is_asked_so_often_by_all_together(server: KeyedServer) -> None:
    keys, line = [server.mint(), server.mint()], Line(server)
    path = "/endpoints/seldom/invocations"
    statuses = []
    for number in range(8):
        key = keys[number % 2]
        sent = line.sign(key, path=path)[0] if number % 3 else _CSV | {"X-Api-Key": key.api_key}
        statuses.append(line.send(sent, path=path).status)

    assert sorted(statuses) == [200] * server.SELDOM.burst + [429] * (8 - server.SELDOM.burst)
    assert line.send(_CSV | {"X-Api-Key": keys[0].api_key}).status == 200


def test_a_body_is_no_larger_than_its_key_allows(server: KeyedServer) -> None:
    key, line = server.mint(most_body_bytes=3), Line(server)
    for _ in range(2):
        assert line.send(_CSV | {"X-Api-Key": key.api_key}, b"1,2").status == 200
        assert line.send(line.sign(key, b"1,2")[0], b"1,2").status == 200
        for sent in (_CSV | {"X-Api-Key": key.api_key}, line.sign(key, b"1,2,3")[0]):
            assert Line(server).send(sent, b"1,2,3").status == 413

    pretends = _CSV | {"X-Api-Key": key.api_key, "X-Amz-Decoded-Content-Length": "2"}
    assert Line(server).send(pretends, b"1,2,3").status == 413
    assert set(server.bodies) == {b"1,2"}


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("path", [PATH, "/invocations", "/"])
def test_of_a_compressed_body_counts_what_it_unpacks_to(
    server: KeyedServer, pack: Callable[[bytes], bytes], path: str
) -> None:
    fits, packs = random.Random(1).randbytes(1000), {"Content-Encoding": "gzip"}
    key = server.mint(Permission.INVOKE, Permission.MANAGE, most_body_bytes=len(fits))
    for body, status in ((fits, 200), (b"1" * 1001, 413), (b"1" * LIMIT_BYTES, 413), (fits * 20, 413)):
        packed = pack(body)
        server.bodies.clear()
        signed, _ = Line(server).sign(key, packed, path)
        for sent in (_CSV | packs | {"X-Api-Key": key.api_key}, signed | packs):
            answer = Line(server).send(sent, packed, path)
            assert answer.status == status
            assert answer.body == body if status == 200 else b"exceeded 1000 bytes" in answer.body
        assert server.bodies == [body] * 2 * (status == 200)
