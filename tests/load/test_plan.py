import pytest

from service.load import plan as plans
from service.load.plan import Plan, RequestBody, ServerAddress, invocations_path, parse_place, wire

_PLAN = Plan(
    place=ServerAddress("127.0.0.1", 8080, False, "127.0.0.1:8080"),
    path="/endpoints/iris/invocations",
    headers={"Accept": "text/csv"},
    bodies=(RequestBody(b"\x93NUMPY\x00\xff", "application/x-npy"), RequestBody("é".encode(), "text/csv")),
    rate=None,
    connections=4,
    duration_s=1.5,
    interval_s=0.1,
    region="eu-west-1",
    most_requests=7,
)


def test_a_plan_is_the_same_after_its_way_to_another_process() -> None:
    line = plans.dump(_PLAN)

    assert "\n" not in line
    assert plans.load(line) == _PLAN


def test_a_request_is_written_with_its_headers_and_its_length() -> None:
    assert wire(_PLAN, _PLAN.bodies[1], {"X-Amz-Date": "now"}) == (
        b"POST /endpoints/iris/invocations HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: text/csv\r\n"
        b"Accept: text/csv\r\nX-Amz-Date: now\r\nContent-Length: 2\r\n\r\n\xc3\xa9"
    )


@pytest.mark.parametrize(
    ("url", "place", "here"),
    [
        ("http://localhost:8080", ServerAddress("localhost", 8080, False, "localhost:8080"), True),
        ("http://127.8.9.1/", ServerAddress("127.8.9.1", 80, False, "127.8.9.1"), True),
        ("http://[::1]:99", ServerAddress("::1", 99, False, "[::1]:99"), True),
        ("https://10.0.0.1/stage/", ServerAddress("10.0.0.1", 443, True, "10.0.0.1", "/stage"), False),
        ("https://example.com", ServerAddress("example.com", 443, True, "example.com"), False),
        (
            "http://127.0.0.1.example.com",
            ServerAddress("127.0.0.1.example.com", 80, False, "127.0.0.1.example.com"),
            False,
        ),
        ("http://localhost@example.com", ServerAddress("example.com", 80, False, "example.com"), False),
        ("http://0.0.0.0:8080", ServerAddress("0.0.0.0", 8080, False, "0.0.0.0:8080"), False),
    ],
)
def test_an_address_says_where_it_is_and_whether_that_is_here(
    url: str, place: ServerAddress, here: bool
) -> None:
    parsed = parse_place(url)

    assert parsed == place
    assert parsed is not None
    assert parsed.is_here == here


@pytest.mark.parametrize(
    "url", ["", "nothing", "ftp://host", "http://", "http://host:many", "http://h/?a=b", "http://[x"]
)
def test_what_is_no_address_has_no_place(url: str) -> None:
    assert parse_place(url) is None


def test_a_path_is_encoded_below_the_address_prefix() -> None:
    place = ServerAddress("h", 80, False, "h", "/stage")

    assert invocations_path(place, "a/b é") == "/stage/endpoints/a%2Fb%20%C3%A9/invocations"
