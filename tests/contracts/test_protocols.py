"""The contract of wire protocols: whatever writes faults is understood by the clients of its protocol.

botocore's parsers are the clients; each reads what the writer for its protocol has written.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from service.errors import CallerError, NothingThere, SagebirdError, Unavailable, UnknownOperation
from service.http.reply import Asked, Reply
from service.wire.protocols.cbor import CborFaults, CborProtocol
from service.wire.protocols.json import JsonProtocol
from service.wire.protocols.protocol import FaultWriter, WireProtocol
from service.wire.protocols.query import QueryFaults, QueryProtocol
from service.wire.protocols.rest_json import RestJsonFaults
from service.wire.protocols.rest_xml import RestXmlFaults, S3Faults
from service.wire.spec import load_service

_ID = "5ae4f3b2-0000-4000-8000-000000000000"
_ASKED = Asked([], b"", _ID)
_STS = QueryProtocol(load_service("sts"))
_SAGEMAKER = JsonProtocol(load_service("sagemaker"))
_CLOUDWATCH = load_service("cloudwatch")

WRITERS: Mapping[str, tuple[FaultWriter, str]] = {
    "json": (_SAGEMAKER, "json"),
    "rest-json": (RestJsonFaults(), "rest-json"),
    "query": (QueryFaults(), "query"),
    "sts": (_STS, "query"),
    "rest-xml": (RestXmlFaults(), "rest-xml"),
    "s3": (S3Faults("/bucket/key"), "rest-xml"),
    "cbor": (CborFaults(), "smithy-rpc-v2-cbor"),
    "monitoring in CBOR": (CborProtocol(_CLOUDWATCH), "smithy-rpc-v2-cbor"),
    "monitoring in JSON": (JsonProtocol(_CLOUDWATCH), "json"),
    "monitoring in forms": (QueryProtocol(_CLOUDWATCH), "query"),
}
SERVICES: Mapping[str, tuple[WireProtocol, str, dict[str, Any]]] = {
    "sagemaker": (_SAGEMAKER, "ListModels", {"Models": [], "NextToken": "a<&>é"}),
    "sts": (_STS, "GetCallerIdentity", {"Arn": "a<&>é", "UserId": "u", "Account": "000000000000"}),
}

each_writer = pytest.mark.parametrize(("writer", "protocol"), WRITERS.values(), ids=WRITERS)
each_service = pytest.mark.parametrize("name", SERVICES)


def _parse(protocol: str, reply: Reply, shape: Any = None) -> dict[str, Any]:
    headers = HeadersDict({name.decode(): value.decode() for name, value in reply.headers})
    answer = {"status_code": reply.status, "headers": headers, "body": reply.body}
    parsed: dict[str, Any] = create_parser(protocol).parse(answer, shape)
    return parsed


@pytest.mark.provenance("botocore")
@each_writer
@pytest.mark.parametrize(
    "error", [NothingThere("no <such> & é"), Unavailable("later"), CallerError("x" * 99)]
)
def test_a_client_reads_the_code_and_the_message(
    writer: FaultWriter, protocol: str, error: SagebirdError
) -> None:
    reply = writer.write_fault(error, _ASKED)

    told = _parse(protocol, reply)["Error"]
    assert told["Message"] == error.message
    assert told["Code"] in (error.code, "ValidationException")  # sagemaker's own name for the last
    assert (reply.status >= 500) == isinstance(error, Unavailable)


@pytest.mark.provenance("botocore")
@each_writer
def test_an_operation_that_is_not_served_is_refused_as_the_callers_mistake_or_for_good(
    writer: FaultWriter, protocol: str
) -> None:
    reply = writer.write_fault(UnknownOperation("not here"), _ASKED)

    assert _parse(protocol, reply)["Error"]["Message"] == "not here"
    assert reply.status in (400, 404, 501)  # nothing that clients ask again after


@each_writer
def test_a_bug_tells_nothing_but_the_id_of_the_request(writer: FaultWriter, protocol: str) -> None:
    reply = writer.write_fault(KeyError("secret"), _ASKED)

    assert reply.status == 500
    assert b"secret" not in reply.body
    assert _ID in _parse(protocol, reply)["Error"]["Message"]


@each_writer
def test_each_answer_to_an_error_carries_the_id_of_its_request(writer: FaultWriter, protocol: str) -> None:
    reply = writer.write_fault(Unavailable("later"), _ASKED)

    assert _ID.encode() in dict(reply.headers).values()
    assert protocol == "rest-xml" or dict(reply.headers)[b"x-amzn-RequestId"] == _ID.encode()


@pytest.mark.provenance("botocore")
@each_service
def test_a_client_reads_what_an_operation_gives_back(name: str) -> None:
    service, operation, output = SERVICES[name]
    model = ServiceModel(Loader().load_service_model(name, "service-2"), name)

    reply = service.write(operation, output, _ID)

    protocol = "json" if name == "sagemaker" else "query"
    parsed = _parse(protocol, reply, model.operation_model(operation).output_shape)
    del parsed["ResponseMetadata"]
    assert parsed == output


@each_service
def test_a_service_knows_which_operations_it_has(name: str) -> None:
    service, operation, _ = SERVICES[name]

    assert service.models(operation)
    assert not service.models("MakeTea")
    assert service.read(operation, Asked([], b"{}", _ID)) == {}
