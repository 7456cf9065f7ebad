"""Which service and operation a request is for: one table, by signing name, target, form or path.

A row counts in its own protocol alone: who speaks several has a row for each. Services without a row are
known by the name that their clients sign for; whether an operation is served is not decided here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from service.http.asgi import Headers
from service.http.reply import Asked
from service.wire import sigv4
from service.wire.protocols.cbor import read_path
from service.wire.protocols.query import read_call

JSON = "json"
QUERY = "query"
REST_JSON = "rest-json"
REST_XML = "rest-xml"
S3 = "s3"
CBOR = "rpc-v2-cbor"

_MAX_NAME_CHARS = 128
_MOST_CHARS = 200  # of a method and a path
_SAGEMAKER = "sagemaker"
_ENDPOINTS = "/endpoints/"


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service: its protocol, and what its requests are known by beside the name they are signed for.

    `target` stands before the dot of X-Amz-Target, `version` is a form's, `paths` are those of a service that
    signs with another's name. `actions` has its operations by what stands behind /endpoints/NAME/ in their
    paths. `whoever` holds the operations that are its own whoever signed for them.
    """

    name: str
    protocol: str
    target: str = ""
    version: str = ""
    paths: re.Pattern[str] | None = None
    actions: Mapping[str, str] = field(default_factory=dict)
    whoever: frozenset[str] = frozenset()


# Source: targets, versions, protocols and paths of their models in botocore.
SERVICES = (
    ServiceRow(_SAGEMAKER, JSON, target="SageMaker"),
    ServiceRow("logs", JSON, target="Logs_20140328"),
    ServiceRow("ecr", JSON, target="AmazonEC2ContainerRegistry_V20150921"),
    ServiceRow("monitoring", JSON, target="GraniteServiceVersion20100801"),
    ServiceRow("monitoring", QUERY, version="2010-08-01"),
    ServiceRow("monitoring", CBOR, target="GraniteServiceVersion20100801"),
    ServiceRow("sts", QUERY, version="2011-06-15", whoever=frozenset({"GetCallerIdentity"})),
    ServiceRow("iam", QUERY, version="2010-05-08"),
    ServiceRow(
        "sagemaker-runtime",
        REST_JSON,
        actions={
            "invocations": "InvokeEndpoint",
            "async-invocations": "InvokeEndpointAsync",
            "invocations-response-stream": "InvokeEndpointWithResponseStream",
        },
    ),
    ServiceRow(
        "sagemaker-featurestore-runtime",
        REST_JSON,
        paths=re.compile(r"/(FeatureGroup/|Batch(Get|Write)Record$)"),
    ),
    ServiceRow("sagemaker-metrics", REST_JSON, paths=re.compile(r"/Batch(Get|Put)Metrics$")),
    ServiceRow(
        "sagemaker-edge",
        REST_JSON,
        paths=re.compile(r"/(GetDeployments|GetDeviceRegistration|SendHeartbeat)$"),
    ),
    ServiceRow("sagemaker-a2i-runtime", REST_JSON, paths=re.compile(r"/human-loops(/|$)")),
    ServiceRow("sagemaker-inference-router-runtime", REST_JSON, paths=re.compile(r"/inference-routers/")),
    ServiceRow(
        "sagemakerjobruntime",
        REST_JSON,
        paths=re.compile(r"/(complete-rollout|sample(-with-response-stream)?|update-reward)$"),
    ),
    ServiceRow("sagemakertrainingsessionruntime", REST_JSON, paths=re.compile(r"(/v1)?/training-sessions/")),
    ServiceRow("cloudfront", REST_XML),
    ServiceRow("route53", REST_XML),
    ServiceRow("s3", S3),
    ServiceRow("s3express", S3),
    ServiceRow("s3-outposts", S3),
    ServiceRow("s3-object-lambda", S3),
)

_BY_ACTION = {action: (row, operation) for row in SERVICES for action, operation in row.actions.items()}

ACTIONS = tuple(f"/{action}" for action in _BY_ACTION)
"""How paths end by which an endpoint is asked."""


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """What a request asks of which service: `row` is "" where the table has none in that protocol.

    `version` is that of the service's interface, where a request names one.
    """

    row: str
    service: str
    operation: str
    protocol: str
    version: str = ""


def call_at_root(asked: Asked) -> ServiceCall | None:
    """What a `POST /` asks for: by its target, else by its form; None if it names no operation.

    So does what is asked at a path of CBOR's, by that path.
    """
    if named := read_path(asked.path):
        return _by_path(*named)
    headers = dict(asked.headers)
    if target := headers.get(b"x-amz-target"):
        return _by_target(target.decode("latin-1"), headers)
    form = read_call(headers.get(b"content-type", b""), asked.body)
    return None if form is None else _by_form(form.action, form.version, headers)


def is_of_its_version(call: ServiceCall) -> bool:
    """Whether there is a row for a call, of the version that it names."""
    return any(
        (row.name, row.protocol, row.version) == (call.row, call.protocol, call.version) for row in SERVICES
    )


def _by_path(target: str, operation: str) -> ServiceCall:
    row = next((row for row in SERVICES if row.protocol == CBOR and row.target == target), None)
    return (
        ServiceCall("", target, operation, CBOR)
        if row is None
        else ServiceCall(row.name, row.name, operation, CBOR)
    )


def call_at_endpoint(method: str, path: str) -> tuple[str, ServiceCall] | None:
    """The endpoint that a path below /endpoints/ names, and what is asked of it; None if that is nothing."""
    # From the right: a name that holds a slash is a name that AWS's own words refuse, not another path.
    endpoint, _, action = path.removeprefix(_ENDPOINTS).rpartition("/")
    if method != "POST" or action not in _BY_ACTION:
        return None
    row, operation = _BY_ACTION[action]
    return endpoint, ServiceCall(row.name, row.name, operation, row.protocol)


def _by_target(target: str, headers: Mapping[bytes, bytes]) -> ServiceCall:
    prefix, _, operation = target.rpartition(".")
    operation = operation[:_MAX_NAME_CHARS]
    for row in SERVICES:
        if row.protocol == JSON and row.target == prefix:
            return ServiceCall(row.name, row.name, operation, JSON)
    service = _signed_for_other(headers) or prefix[:_MAX_NAME_CHARS] or "an unnamed service"
    return ServiceCall("", service, operation, JSON)


def _by_form(operation: str, version: str, headers: Mapping[bytes, bytes]) -> ServiceCall:
    dated = next((row for row in SERVICES if row.version and row.version == version), None)
    if dated is not None and operation in dated.whoever:
        return ServiceCall(dated.name, dated.name, operation, QUERY, version)
    otherwise = f"the API of {version}"[:_MAX_NAME_CHARS] if dated is None else dated.name
    service = _signed_for_other(headers) or otherwise
    return ServiceCall(_row(service, [QUERY]), service, operation, QUERY, version)


def call_of_stranger(method: str, path: str, headers: Headers, query_string: bytes) -> ServiceCall | None:
    """What a request asks of a service that has no use for this server's own paths; None for all others.

    Its operation is told as method and path.
    """
    service = _signed_for(headers, query_string)
    sibling = _sibling(path)
    if service is not None and read_path(path) and _row(service, [CBOR]):
        return None
    if service == _SAGEMAKER:
        service = sibling
    if service is None or (
        sibling is None and _is_our_path(method, path) and not _asks_s3(service, query_string)
    ):
        return None
    row = _row(service, [REST_JSON, REST_XML, S3])
    return ServiceCall(row, service, f"{method} {path}"[:_MOST_CHARS], _rest_protocol(row, headers))


def _rest_protocol(service: str, headers: Headers) -> str:
    protocol = next((row.protocol for row in SERVICES if row.name == service), REST_JSON)
    is_cbor = protocol != S3 and dict(headers).get(b"smithy-protocol") == CBOR.encode()
    return CBOR if is_cbor else protocol


def _row(service: str, protocols: Collection[str]) -> str:
    return next((row.name for row in SERVICES if row.name == service and row.protocol in protocols), "")


def _sibling(path: str) -> str | None:
    """The service of SageMaker's that has a path, of those that sign as `sagemaker` and are not served."""
    return next((row.name for row in SERVICES if row.paths is not None and row.paths.match(path)), None)


def _is_our_path(method: str, path: str) -> bool:
    """Whether a path is one that this server has a use for, whoever's signature is on the request."""
    return method == "POST" and (path in ("/", "/invocations") or path.endswith(ACTIONS))


def _asks_s3(service: str, query_string: bytes) -> bool:
    """Whether it is for S3 though its path is one of ours, at which no other client sends a query."""
    return service == S3 and query_string != b""


def _signed_for_other(headers: Mapping[bytes, bytes]) -> str | None:
    """The service that a request was signed for, which is how its client calls it, if it is not SageMaker."""
    scope = sigv4.read_scope(headers.get(b"authorization", b"").decode("latin-1"))
    return None if scope is None or scope.service == _SAGEMAKER else scope.service


def _signed_for(headers: Headers, query_string: bytes) -> str | None:
    """The service whose client sent this, by its signature: in a header, or in a presigned URL."""
    header = next((value for name, value in headers if name == b"authorization"), b"")
    if header.startswith(b"AWS "):  # S3's older signature
        return "s3"
    claimed = sigv4.read_scope(header.decode("latin-1")) if header.startswith(b"AWS4-") else None
    if claimed is None and (b"X-Amz-Credential=" in query_string or b"AWSAccessKeyId=" in query_string):
        given = parse_qs(query_string.decode("latin-1"))
        if "AWSAccessKeyId" in given:
            return "s3"
        claimed = sigv4.read_scope(given.get("X-Amz-Credential", [""])[0])
    return None if claimed is None else claimed.service
