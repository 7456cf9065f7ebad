import pytest

from service.access.permissions import Need, needed, needed_for, permits
from service.domain.access_keys import AccessKey, Permission

INVOKE, READ, MANAGE = Permission


@pytest.mark.parametrize("path", ["/ping", "/healthz", "/readyz", "/static/docs.js"])
def test_health_is_told_to_everybody(path: str) -> None:
    assert needed("GET", path) is needed("HEAD", path) is None
    assert needed("POST", path) == Need((MANAGE,))


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("POST", "/endpoints/iris/invocations", Need((INVOKE,), "iris")),
        ("POST", "/endpoints/iris/async-invocations", Need((INVOKE,), "iris")),
        ("POST", "/endpoints/iris/invocations-response-stream", Need((INVOKE,), "iris")),
        ("POST", "/endpoints/iris/outcomes", Need((INVOKE,), "iris")),
        ("POST", "/endpoints/iris/else", Need((MANAGE,))),
        ("POST", "/endpoints/iris", Need((MANAGE,))),
        ("POST", "/endpoints/a/b/invocations", Need((INVOKE,), None)),
        ("DELETE", "/endpoints/iris/invocations", Need((INVOKE,), "iris")),
        ("GET", "/endpoints/iris", Need((INVOKE, READ), "iris")),
        ("GET", "/endpoints/iris/", Need((INVOKE, READ), "iris")),
        ("GET", "/endpoints/iris/experiment", Need((READ,))),
        ("HEAD", "/endpoints/iris/experiment", Need((READ,))),
        ("GET", "/endpoints/experiment", Need((INVOKE, READ), "experiment")),
        ("GET", "/endpoints/a/b/c", Need((INVOKE, READ), None)),
        ("POST", "/invocations", Need((INVOKE,))),
        (
            "POST",
            "/service/Granite/operation/PutMetricData",
            Need(()),
        ),  # judged where it is known what is asked
        ("GET", "/service/Granite/operation/PutMetricData", Need((READ,))),
        ("POST", "/models/a/invoke", Need((INVOKE,))),
        ("POST", "/models", Need((MANAGE,))),
        ("DELETE", "/models/a", Need((MANAGE,))),
        ("DELETE", "/models/a/invoke", Need((MANAGE,))),
        ("GET", "/models", Need((READ,))),
        ("GET", "/", Need((READ,))),
        ("GET", "/status", Need((READ,))),
        ("GET", "/metrics", Need((READ,))),
        ("OPTIONS", "/docs", Need((READ,))),
        ("GET", "/pings", Need((READ,))),
        ("GET", "//ping", Need((READ,))),
        ("GET", "/static", Need((READ,))),
        ("POST", "/", Need(())),
        ("PUT", "/bucket/key", Need((MANAGE,))),
        ("PROPFIND", "/status", Need((MANAGE,))),
    ],
)
def test_what_a_request_needs(method: str, path: str, need: Need) -> None:
    assert needed(method, path) == need


@pytest.mark.parametrize(
    ("operation", "need"),
    [
        ("ListEndpoints", Need((READ,))),
        ("DescribeEndpoint", Need((READ,))),
        ("CreateEndpoint", Need((MANAGE,))),
        ("StopTransformJob", Need((MANAGE,))),
        ("AddTags", Need((MANAGE,))),
        ("GetCallerIdentity", Need(())),
        ("", Need((MANAGE,))),
    ],
)
def test_what_an_operation_needs(operation: str, need: Need) -> None:
    assert needed_for(operation) == need


def _key(*permissions: Permission, endpoints: tuple[str, ...] = ("*",)) -> AccessKey:
    return AccessKey("A", "a", "", frozenset(permissions), endpoints, 0.0)


def test_a_key_permits_what_it_allows_where_it_is_for() -> None:
    some = _key(INVOKE, endpoints=("iris", "demo-*"))

    assert permits(some, Need((INVOKE,), "iris"))
    assert permits(some, Need((INVOKE, READ), "demo-1"))
    assert permits(some, Need(()))
    assert not permits(some, Need((INVOKE,), "iris2"))
    assert not permits(some, Need((INVOKE,)))
    assert not permits(some, Need((READ,)))
    assert permits(_key(INVOKE), Need((INVOKE,)))
    assert not permits(_key(INVOKE), Need((MANAGE,)))
    assert not permits(_key(READ), Need((MANAGE,)))
    assert permits(_key(READ), Need((INVOKE, READ), "iris"))
    assert not permits(_key(READ), Need((INVOKE,), "iris"))


def test_who_manages_sees_and_does_not_invoke() -> None:
    assert permits(_key(MANAGE), Need((READ,)))
    assert not permits(_key(MANAGE), Need((INVOKE,), "iris"))


def test_a_key_for_some_endpoints_permits_nothing_of_the_whole_server() -> None:
    assert not permits(_key(READ, MANAGE, endpoints=("iris",)), Need((READ,)))
    assert not permits(_key(READ, MANAGE, endpoints=("iris",)), Need((MANAGE,)))
