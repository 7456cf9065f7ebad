"""A server that asks for keys, as AWS's clients, commands and programs meet it, with two gateways."""

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from service.access.key_file import open_key_file
from service.access.minting import Minted, mint
from service.cli import make_app
from service.cli.roles import container
from service.control.access_keys import add_access_key, revoke_access_key
from service.domain.access_keys import Permission
from service.errors import StartupError
from service.store.store import Store
from tests.conftest import RunningServer, StartServer, wait_until
from tests.faces.attacker import find_chromium
from tests.harness import web
from tests.harness.browser import Browser
from tests.harness.chunk_signer import ChunkSigner
from tests.harness.gateways import Line, declare, events, line_to_each_gateway, make_model, port, variants
from tests.harness.node import find_package

_CHROMIUM, _SDK = find_chromium(), find_package("@aws-sdk/client-sagemaker-runtime")
_CSV = {"Content-Type": "text/csv"}
_PATH = "/endpoints/one/invocations"


@dataclass
class Keyed:
    """A server, a connection to each of its gateways, and who makes keys for it."""

    server: RunningServer
    lines: list[Line]

    def create(
        self,
        name: str,
        *permissions: Permission,
        endpoints: Sequence[str] = ("*",),
        concurrency: int | None = None,
        most_body_bytes: int | None = None,
    ) -> Minted:
        """A new key, once every gateway knows it."""
        key_file = open_key_file(self.server.data / "keys.secret")
        allowed = permissions or (Permission.INVOKE,)
        limits = (None, most_body_bytes, concurrency)
        minted = mint(name, allowed, endpoints, key_file, time.time(), None, *limits)
        with self._store() as store:
            add_access_key(store, minted.key)
        for line in self.lines:
            wait_until(lambda line=line: _ask(line, minted) != 401)  # type: ignore[misc]
        return minted

    def revoke(self, minted: Minted) -> None:
        """Take a key back, and wait for nobody."""
        with self._store() as store:
            revoke_access_key(store, minted.key.id, time.time())

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store(self.server.data / "state.db")
        try:
            yield store
        finally:
            store.close()

    def client(
        self, service: str, minted: Minted, secret: str | None = None, version: str | None = None
    ) -> Any:
        """A client of boto3's with the pair of a key."""
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=self.server.url,
            aws_access_key_id=minted.key.id,
            aws_secret_access_key=secret or minted.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, signature_version=version),
        )


def _ask(line: Line, minted: Minted) -> int:
    return line.invoke("one", X_Api_Key=minted.api_key)[0]


@pytest.fixture(scope="module")
def keyed(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    models = tmp_path_factory.mktemp("models")
    make_model(models / "a", 7)
    declare(models, variants("one", a=1) + variants("two", a=1).partition("\n")[2])
    server = start_server(models, auth="keys")
    lines = line_to_each_gateway(server)
    yield Keyed(server, lines)
    for line in lines:
        line.close()


@pytest.fixture(scope="module")
def everything(keyed: Keyed) -> Minted:
    return keyed.create("ops", Permission.INVOKE, Permission.MANAGE)


def test_a_server_without_keys_lets_nobody_in_and_says_that_it_is_well(keyed: Keyed) -> None:
    url = keyed.server.url

    assert web.get(f"{url}/readyz").status_code == web.get(f"{url}/ping").status_code == 200
    for path in ("/", "/status", "/metrics", "/docs", "/openapi.json", "/models"):
        assert web.get(url + path).status_code == 401
    assert web.post(url + _PATH, content="1", headers=_CSV).status_code == 401


def test_boto3_works_with_the_pair_of_a_key_and_with_no_other(keyed: Keyed, everything: Minted) -> None:
    def invoke(secret: str | None = None) -> bytes:
        client = keyed.client("sagemaker-runtime", everything, secret)
        found: bytes = client.invoke_endpoint(EndpointName="one", ContentType="text/csv", Body=b"1")[
            "Body"
        ].read()
        return found

    sagemaker = keyed.client("sagemaker", everything)

    assert {invoke() for _ in range(10)} == {b"[7.0]"}
    assert {one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]} == {"one", "two"}
    assert keyed.client("sts", everything).get_caller_identity()["Arn"].endswith(":assumed-role/sagebird/ops")
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        invoke("wrong")
    for service, call, code in (
        ("sagemaker", "list_endpoints", "InvalidSignatureException"),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("s3", "list_buckets", "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError, match=code):
            getattr(keyed.client(service, everything, "wrong"), call)()


def test_a_key_has_so_many_requests_under_way_in_all_gateways_together(keyed: Keyed) -> None:
    key = keyed.create("one by one", concurrency=1)
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {key.api_key}\r\nContent-Type: text/csv\r\n"
        "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port(keyed.server)), timeout=30) as held:
        held.sendall(head.encode())
        assert held.recv(1 << 16).startswith(b"HTTP/1.1 100")  # one of them reads its body

        assert {_ask(line, key) for line in keyed.lines} == {429}
        held.sendall(b"1")
        assert held.recv(1 << 16).startswith(b"HTTP/1.1 200")
    for line in keyed.lines:
        wait_until(lambda line=line: _ask(line, key) == 200)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "status"), [(_PATH, 200), ("/models/none/invoke", 404), ("/endpoints/one/outcomes", 400)]
)
def test_a_key_with_a_largest_body_gets_no_more_in_by_packing_it(
    keyed: Keyed, path: str, status: int
) -> None:
    key = keyed.create("narrow", most_body_bytes=100)
    packs = _CSV | {"Content-Encoding": "gzip", "X-Api-Key": key.api_key}
    sizes = (1, 100_000)
    answers = [
        web.post(keyed.server.url + path, content=gzip.compress(b"1" * size), headers=packs) for size in sizes
    ]

    assert [answer.status_code for answer in answers] == [status, 413]
    assert "exceeded 100 bytes" in answers[1].text


def _of_session(keyed: Keyed, service: str, given: dict[str, Any], token: str | None) -> Any:
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=keyed.server.url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_credentials_of_a_role_may_what_their_key_may_and_no_more(keyed: Keyed) -> None:
    key = keyed.create("night", Permission.INVOKE)
    role = {"RoleArn": "arn:aws:iam::000000000000:role/any", "RoleSessionName": "batch"}
    given = keyed.client("sts", key).assume_role(**role)["Credentials"]
    token = given["SessionToken"]
    asked = {"EndpointName": "one", "ContentType": "text/csv", "Body": b"1"}
    runtime = _of_session(keyed, "sagemaker-runtime", given, token)

    for _ in range(4):  # heads that are alike are known by then
        assert runtime.invoke_endpoint(**asked)["Body"].read() == b"[7.0]"
    again = _of_session(keyed, "sts", given, token)
    assert again.get_caller_identity()["Arn"].endswith("/night")
    with pytest.raises(ClientError, match="AccessDenied"):
        _of_session(keyed, "sagemaker", given, token).list_endpoints()
    with pytest.raises(ClientError, match="AccessDenied"):
        _of_session(keyed, "logs", given, token).describe_log_groups()
    with pytest.raises(ClientError, match="UnrecognizedClient"):
        _of_session(keyed, "sagemaker-runtime", given, None).invoke_endpoint(**asked)
    for service, call, code in (
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("sagemaker", "list_endpoints", "UnrecognizedClient"),
    ):
        with pytest.raises(ClientError, match=code):
            getattr(_of_session(keyed, service, given, "bogus"), call)()
    wrong = {**given, "SecretAccessKey": key.secret_access_key}
    with pytest.raises(ClientError, match="InvalidSignature"):
        _of_session(keyed, "sagemaker-runtime", wrong, token).invoke_endpoint(**asked)


@pytest.mark.provenance("documented")
def test_a_session_is_given_no_longer_one(keyed: Keyed) -> None:
    key = keyed.create("chained", Permission.INVOKE)
    role = {"RoleArn": "arn:aws:iam::000000000000:role/any", "RoleSessionName": "batch"}
    first = keyed.client("sts", key)
    for given in (
        first.get_session_token(DurationSeconds=129_600)["Credentials"],
        first.assume_role(**role, DurationSeconds=43_200)["Credentials"],
    ):
        sts = _of_session(keyed, "sts", given, given["SessionToken"])

        with pytest.raises(ClientError, match=r"AccessDenied.*Cannot call GetSessionToken") as caught:
            sts.get_session_token(DurationSeconds=900)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        with pytest.raises(
            ClientError, match=r"ValidationError.*1 hour session limit.*role chaining"
        ) as caught:
            sts.assume_role(**role, DurationSeconds=3601)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        for lasts in ({}, {"DurationSeconds": 3600}):
            chained = sts.assume_role(**role, **lasts)["Credentials"]
            assert chained["Expiration"] < given["Expiration"]
        again = _of_session(keyed, "sts", chained, chained["SessionToken"])
        with pytest.raises(ClientError, match="1 hour session limit"):
            again.assume_role(**role, DurationSeconds=43_200)


def test_a_large_document_is_signed_and_permitted_like_any_other(keyed: Keyed, everything: Minted) -> None:
    """The keeper answers it, who is told what the key allows."""
    tags = [{"Key": f"k{number}", "Value": "v" * 250} for number in range(50)]
    large = {
        "ModelName": "m" * 3000,
        "PrimaryContainer": {"Image": "i", "Environment": {"a" * 900: "b" * 900}},
    }
    padding = {"Tags": tags * 6}
    seer = keyed.create("seer", Permission.READ)
    for key, code in ((everything, "ValidationException"), (seer, "AccessDeniedException")):
        client = keyed.client("sagemaker", key)
        with pytest.raises(ClientError, match=code):
            client.create_model(**large, **padding, ExecutionRoleArn="arn:aws:iam::000000000000:role/anyone")


def test_a_key_for_one_endpoint_is_good_there_alone(keyed: Keyed) -> None:
    key = keyed.create("web", endpoints=["one"])
    client = keyed.client("sagemaker-runtime", key)

    assert (
        client.invoke_endpoint(EndpointName="one", ContentType="text/csv", Body=b"1")["Body"].read()
        == b"[7.0]"
    )
    with pytest.raises(ClientError, match="AccessDeniedException") as caught:
        client.invoke_endpoint(EndpointName="two", ContentType="text/csv", Body=b"1")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match="AccessDeniedException"):
        keyed.client("sagemaker", key).list_endpoints()


def test_commands_bring_the_key_that_a_variable_names(keyed: Keyed, everything: Minted) -> None:
    def run(*arguments: str, **environment: str) -> Result:
        runner = CliRunner(env={"SAGEBIRD_URL": keyed.server.url, "COLUMNS": "200", **environment})
        return runner.invoke(make_app(), arguments)

    bare = run("endpoints")
    assert (bare.exit_code, "asks for a key" in bare.stderr) == (1, True)
    for arguments in (("endpoints",), ("describe", "one")):
        done = run(*arguments, SAGEBIRD_API_KEY=everything.api_key)
        assert (done.exit_code, "one" in done.stdout) == (0, True)


def test_a_revoked_key_is_refused_by_every_gateway_while_it_is_used(keyed: Keyed) -> None:
    minted = keyed.create("gone")
    client = keyed.client("sagemaker-runtime", minted)
    for line in keyed.lines:
        assert {_ask(line, minted) for _ in range(5)} == {200}
    client.invoke_endpoint(EndpointName="one", ContentType="text/csv", Body=b"1")

    keyed.revoke(minted)

    for line in keyed.lines:
        wait_until(lambda line=line: _ask(line, minted) == 401)  # type: ignore[misc]
    for line in keyed.lines:
        assert {_ask(line, minted) for _ in range(5)} == {401}
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client.invoke_endpoint(EndpointName="one", ContentType="text/csv", Body=b"1")


def test_an_open_page_ends_with_its_key_and_no_other_does(keyed: Keyed) -> None:
    gone, stays = keyed.create("leaver", Permission.READ), keyed.create("stayer", Permission.READ)
    with _live(keyed, gone) as ending, _live(keyed, stays) as going_on:
        assert ending.readline().startswith(b"data: ")
        assert going_on.readline().startswith(b"data: ")

        keyed.revoke(gone)

        ending.read()  # to its end
        assert all(going_on.readline() for _ in range(7))  # three events more


@contextmanager
def _live(keyed: Keyed, minted: Minted) -> Iterator[http.client.HTTPResponse]:
    """What an open dashboard is sent."""
    line = http.client.HTTPConnection("127.0.0.1", port(keyed.server), timeout=60)
    line.request("GET", "/dashboard/live", headers={"X-Api-Key": minted.api_key})
    with closing(line), line.getresponse() as answer:
        assert answer.status == 200
        yield answer


def test_nothing_secret_is_in_the_log_nor_in_the_database(keyed: Keyed, everything: Minted) -> None:
    keyed.client("sagemaker", everything).list_endpoints()
    web.get(f"{keyed.server.url}/status", headers={"X-Api-Key": everything.api_key})
    web.get(f"{keyed.server.url}/status", headers={"X-Api-Key": everything.api_key + "x"})
    kept = keyed.server.log.read_bytes() + b"".join(
        file.read_bytes() for file in keyed.server.data.glob("state.db*")
    )

    assert everything.key.id.encode() in kept
    assert everything.api_key.encode() not in kept
    assert everything.secret_access_key.encode() not in kept
    assert events(keyed.server, "request left without a whole answer") == []


def test_the_aws_cli_signs_as_always(keyed: Keyed, everything: Minted, tmp_path: Path) -> None:
    pair = {
        "AWS_ACCESS_KEY_ID": everything.key.id,
        "AWS_SECRET_ACCESS_KEY": everything.secret_access_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": keyed.server.url,
    }
    command = ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "one", "--content-type", "text/csv"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "aws"), *command, "--body", "MQ==", str(tmp_path / "answer")],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | pair,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "answer").read_bytes() == b"[7.0]"


def test_curl_is_let_in_by_a_key_and_by_nothing_else(keyed: Keyed, everything: Minted) -> None:
    def ask(*headers: str) -> str:
        options = [part for header in ("Content-Type: text/csv", *headers) for part in ("-H", header)]
        command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", *options, "-d", "1"]
        url = keyed.server.url + _PATH
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    assert ask(f"X-Api-Key: {everything.api_key}") == "200"
    assert ask(f"Authorization: Bearer {everything.api_key}") == "200"
    assert {ask(), ask("X-Api-Key: sbk_wrong"), ask("Authorization: Bearer sbk_wrong")} == {"401"}


@pytest.mark.skipif(_CHROMIUM is None, reason="needs Chromium")
def test_a_page_is_let_in_by_a_key_that_somebody_types_and_by_nothing_else(
    keyed: Keyed, everything: Minted
) -> None:
    assert _CHROMIUM is not None
    client = f"import('{keyed.server.url}/client.js')"

    def predict(key: str) -> str:
        """What a page says that uses this server's own module."""
        told = f"(it.configure({{ key: {json.dumps(key)} }}), it.predict('one', '1'))"
        return (
            f"{client}.then((it) => {told}).then((it) => String(it.answer), (error) => 'no: ' + error.status)"
        )

    host = keyed.server.url.removeprefix("http://")
    with Browser(_CHROMIUM) as page:
        page.open(f"{keyed.server.url}/client.js")  # which anybody may have
        assert page.run(predict(everything.api_key)) == "7"
        assert page.run(predict("")) == page.run(predict("sbk_wrong")) == "no: 401"
        for typed, then in (
            ("sbk_wrong", "location.href.startsWith('chrome-error:')"),
            (everything.api_key, "document.title === 'sagebird dashboard'"),
        ):
            page.ask("Page.navigate", url=f"http://me:{typed}@{host}/dashboard")
            page.wait(then)
        page.open(f"{keyed.server.url}/dashboard")  # the browser knows the key by now, as after its question
        page.wait("document.querySelectorAll('article[data-endpoint]').length === 2")


@pytest.mark.skipif(_SDK is None, reason="needs AWS's SDK for JavaScript (TEST_CLIENT names the folder)")
def test_the_javascript_sdk_signs_as_always(keyed: Keyed, everything: Minted) -> None:
    assert _SDK is not None
    script = (
        "const { SageMakerRuntimeClient: Client, InvokeEndpointCommand } ="
        " require('@aws-sdk/client-sagemaker-runtime');"
        "const [endpoint, accessKeyId, secretAccessKey] = process.argv.slice(1);"
        "const client = new Client({ endpoint, region: 'us-east-1', maxAttempts: 1,"
        " credentials: { accessKeyId, secretAccessKey } });"
        "client.send(new InvokeEndpointCommand({ EndpointName: 'one', ContentType: 'text/csv', Body: '1' }))"
        ".then((it) => console.log(Buffer.from(it.Body).toString()), (error) => console.log(error.name));"
    )

    def ask(secret: str) -> str:
        command = ["node", "-e", script, keyed.server.url, everything.key.id, secret]
        done = subprocess.run(command, cwd=_SDK, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.strip()

    assert ask(everything.secret_access_key) == "[7.0]"
    assert ask("wrong") == "InvalidSignatureException"


def test_a_container_has_no_keys() -> None:
    with pytest.raises(StartupError, match="no keys"):
        container(auth="keys")


@pytest.mark.parametrize("bucket", ["plain", "static", "endpoints", "ping"])
def test_buckets_of_any_name_take_the_pair_of_a_key_and_no_other(
    keyed: Keyed, everything: Minted, bucket: str
) -> None:
    s3, other = keyed.client("s3", everything), keyed.client("s3", everything, "wrong")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="one/in vocations", Body=b"kept")
    signing = keyed.client("s3", everything, version="s3v4")
    link = signing.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "one/in vocations"})

    assert s3.get_object(Bucket=bucket, Key="one/in vocations")["Body"].read() == b"kept"
    assert web.get(link).content == b"kept"
    assert web.get(f"{link}0").status_code == 403
    for call, body in (("get_object", {}), ("put_object", {"Body": b"theirs"}), ("delete_object", {})):
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            getattr(other, call)(Bucket=bucket, Key="one/in vocations", **body)
    assert s3.get_object(Bucket=bucket, Key="one/in vocations")["Body"].read() == b"kept"


def test_an_object_is_not_kept_whose_bytes_are_not_those_that_were_signed(
    keyed: Keyed, everything: Minted
) -> None:
    s3 = keyed.client("s3", everything)
    s3.create_bucket(Bucket="bytes")
    s3.put_object(Bucket="bytes", Key="k", Body=b"before")
    url = f"{keyed.server.url}/bytes/k"
    request = AWSRequest("PUT", url, data=b"signed")
    pair = Credentials(everything.key.id, everything.secret_access_key)
    S3SigV4Auth(pair, "s3", "us-east-1").add_auth(request)

    answer = web.put(url, content=b"forged", headers=dict(request.headers))

    assert (answer.status_code, b"<Code>SignatureDoesNotMatch</Code>" in answer.content) == (403, True)
    assert s3.get_object(Bucket="bytes", Key="k")["Body"].read() == b"before"


@pytest.mark.parametrize("trailer", ["", "x-amz-checksum-crc32:y/Q5Jg=="])
def test_a_body_in_signed_chunks_is_taken_and_no_other(
    keyed: Keyed, everything: Minted, trailer: str
) -> None:
    s3 = keyed.client("s3", everything)
    s3.create_bucket(Bucket="chunks")
    url, data = f"{keyed.server.url}/chunks/k", b"123456789"
    signer = ChunkSigner(everything.key.id, everything.secret_access_key, trailer)

    headers, body = signer.sign(url, data, 4)
    taken = web.put(url, content=body, headers=headers)
    changed = web.put(url, content=body.replace(b"5678", b"5679"), headers=headers)
    stranger = ChunkSigner(everything.key.id, "another secret", trailer).sign(url, data)

    assert taken.status_code == 200, taken.text
    assert (changed.status_code, b"<Code>SignatureDoesNotMatch</Code>" in changed.content) == (403, True)
    assert web.put(url, content=stranger[1], headers=stranger[0]).status_code == 403
    assert s3.get_object(Bucket="chunks", Key="k")["Body"].read() == data
    s3.delete_object(Bucket="chunks", Key="k")


def test_who_may_read_buckets_may_not_write_them_and_who_may_invoke_does_neither(
    keyed: Keyed, everything: Minted
) -> None:
    keyed.client("s3", everything).create_bucket(Bucket="rights")
    reader = keyed.client("s3", keyed.create("reader", Permission.READ))
    caller = keyed.client("s3", keyed.create("caller", Permission.INVOKE))

    assert reader.list_objects_v2(Bucket="rights")["KeyCount"] == 0
    for client in (reader, caller):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket="rights", Key="k", Body=b"x")
    with pytest.raises(ClientError, match="AccessDenied"):
        caller.list_objects_v2(Bucket="rights")
    assert reader.list_objects_v2(Bucket="rights")["KeyCount"] == 0


def test_what_is_put_is_no_larger_than_its_key_allows(keyed: Keyed, everything: Minted) -> None:
    keyed.client("s3", everything).create_bucket(Bucket="small")
    key = keyed.create("small", *Permission, most_body_bytes=1000)
    small, url = keyed.client("s3", key), f"{keyed.server.url}/small/chunks"
    upload = small.create_multipart_upload(Bucket="small", Key="parts")["UploadId"]
    part = {"Bucket": "small", "Key": "parts", "UploadId": upload, "PartNumber": 1}

    small.put_object(Bucket="small", Key="fits", Body=b"x" * 1000)
    with pytest.raises(ClientError, match=r"EntityTooLarge.*exceeded 1000 bytes"):
        small.put_object(Bucket="small", Key="large", Body=b"x" * 1001)
    with pytest.raises(ClientError, match="EntityTooLarge"):
        small.upload_part(**part, Body=b"x" * 1001)

    signer = ChunkSigner(key.key.id, key.secret_access_key, "")
    for size, status in ((1000, 200), (1001, 400)):
        headers, body = signer.sign(url, b"x" * size)
        assert web.put(url, content=body, headers=headers).status_code == status
    headers, body = signer.sign(url, b"y" * 9000)
    headers["X-Amz-Decoded-Content-Length"] = "9" * 5000
    assert web.put(url, content=body, headers=headers).status_code == 403

    assert [each["Key"] for each in small.list_objects_v2(Bucket="small")["Contents"]] == ["chunks", "fits"]
    assert small.get_object(Bucket="small", Key="chunks")["Body"].read() == b"x" * 1000
    assert "Parts" not in small.list_parts(Bucket="small", Key="parts", UploadId=upload)
