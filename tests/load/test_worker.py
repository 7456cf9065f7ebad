from service.load.plan import Plan, RequestBody, ServerAddress
from service.load.worker import SignedRequests

_BODIES = (RequestBody(b"1", "text/csv"), RequestBody(b"2", "text/csv"))
_PLAN = Plan(ServerAddress("h", 443, True, "h"), "/x", {}, _BODIES, None, 1, 1.0, 0.1)


def test_each_body_is_signed_anew_once_a_minute() -> None:
    signed: list[bytes] = []
    now_s = 0.0

    def sign(body: RequestBody) -> bytes:
        signed.append(body.content)
        return b"%b at %d" % (body.content, now_s)

    requests = SignedRequests(_PLAN, sign, lambda: now_s)
    first = [requests() for _ in range(4)]
    now_s = 59.0
    second = [requests(), requests()]
    now_s = 60.0
    third = [requests(), requests()]

    assert first == [b"1 at 0", b"2 at 0"] * 2
    assert second == [b"1 at 0", b"2 at 0"]
    assert third == [b"1 at 60", b"2 at 60"]
    assert signed == [b"1", b"2"] * 2
