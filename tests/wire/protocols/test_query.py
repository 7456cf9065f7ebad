from urllib.parse import urlencode

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from service.wire.protocols.query import QueryCall, QueryProtocol, read_call

_FORM = b"application/x-www-form-urlencoded; charset=utf-8"
_CALL = QueryCall("GetCallerIdentity", "2011-06-15")


@pytest.fixture(scope="module")
def sts() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sts", "service-2"), "sts")


@pytest.mark.provenance("botocore")
def test_a_call_that_botocore_writes_is_recognised(sts: ServiceModel) -> None:
    operation = sts.operation_model("GetCallerIdentity")
    sent = create_serializer("query").serialize_to_request({}, operation)
    content_type = sent["headers"]["Content-Type"].encode()
    assert read_call(content_type, urlencode(sent["body"]).encode()) == _CALL


@pytest.mark.provenance("botocore")
def test_botocore_reads_the_answer(sts: ServiceModel) -> None:
    identity = {"UserId": "000000000000", "Account": "<&>", "Arn": "arn:aws:iam::000000000000:root"}
    service = QueryProtocol("https://sts.amazonaws.com/doc/2011-06-15/", [_CALL.action])
    reply = service.write(_CALL.action, identity, "id-1")
    parsed = create_parser("query").parse(
        {"status_code": reply.status, "headers": HeadersDict({}), "body": reply.body},
        sts.operation_model("GetCallerIdentity").output_shape,
    )
    assert parsed.pop("ResponseMetadata")["RequestId"] == "id-1"
    assert parsed == identity


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"", b"Action=GetCallerIdentity"),
        (b"application/json", b"Action=GetCallerIdentity"),
        (_FORM, b""),
        (_FORM, b"5.1,3.5"),
        (_FORM, b"Version=2011-06-15"),
        (_FORM, b"Action=%00"),
        (_FORM, b"Action=" + b"a" * 129),
        (_FORM, b"Action=\xff"),
        (_FORM, b"a=1&" * 1001 + b"Action=Do"),
    ],
)
def test_what_names_no_operation_is_no_call(content_type: bytes, body: bytes) -> None:
    assert read_call(content_type, body) is None


def test_a_call_may_lack_its_version() -> None:
    assert read_call(b"Application/X-WWW-form-urlencoded", b"Action=Do") == QueryCall("Do", "")
