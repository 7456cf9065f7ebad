"""Heads that are like one that was read: each is judged as if it had been read by itself."""

import random
from collections.abc import Iterator
from hashlib import sha256

import pytest

from service.access.alike import AlikeClaims, alike
from service.access.claims import AskedHead
from service.errors import CallerError, CredentialsUnknown, NotAuthenticated, SignatureWrong
from service.faces.proofs import SignedHead
from service.http.reply import Answering
from tests.access.conftest import House

_BODY = b"5.1,3.5"
_HEADERS = {
    "Content-Type": "text/csv",
    "Amz-Sdk-Invocation-Id": "0f1e",
    "Amz-Sdk-Request": "attempt=1;  max=3",
    "X-Percent": "100%b of %s",
}
_VARYING = [b"x-amz-date", b"authorization", b"amz-sdk-invocation-id", b"amz-sdk-request", b"content-length"]


def _alike(house: House, head: AskedHead, varying: list[bytes]) -> AlikeClaims | None:
    claim = house.claims.read(head, dict(head.headers)[b"authorization"])
    return alike(house.keyring, claim, head, varying)


def _template(house: House, **more: str) -> tuple[AskedHead, AlikeClaims]:
    head = house.sign(body=_BODY, headers=_HEADERS | more)
    found = _alike(house, head, _VARYING)
    assert found is not None
    return head, found


def _values(head: AskedHead, varying: list[bytes] = _VARYING) -> list[bytes]:
    """The values that differ, as the fast way cuts them out of a head."""
    fields = dict(head.headers)
    return [
        fields[name].rpartition(b"Signature=")[2] if name == b"authorization" else fields[name]
        for name in varying
    ]


def test_calls_that_differ_in_what_a_signature_makes_different_are_right(house: House) -> None:
    _, template = _template(house)

    for number in range(5):
        body = _BODY * number
        head = house.sign(body=body or b"0", headers=_HEADERS | {"Amz-Sdk-Invocation-Id": f"a{number}"})
        assert template.check(_values(head), body or b"0") is None


def _kept(template: AlikeClaims) -> int:
    return len(template._begun)


def test_what_calls_of_a_second_have_in_common_is_kept_once_one_was_right(house: House) -> None:
    signed = {"Content-Type": "text/csv"}
    varying = [b"x-amz-date", b"authorization"]
    head = house.sign(body=_BODY, headers=signed)
    template = _alike(house, head, varying)
    assert template is not None
    values = _values(head, varying)

    assert isinstance(template.check([values[0], b"0" * 64], _BODY), SignatureWrong)
    assert isinstance(template.check(values, b"another"), SignatureWrong)
    assert _kept(template) == 0
    for _ in range(2):
        assert template.check(values, _BODY) is None
        assert _kept(template) == 1
        assert isinstance(template.check(values, b"another"), SignatureWrong)
        assert isinstance(template.check([values[0], b"0" * 64], _BODY), SignatureWrong)
    house.ahead_s = 905
    assert isinstance(template.check(values, _BODY), SignatureWrong)
    house.ahead_s = 0
    house.keyring.replace([])
    assert isinstance(template.check(values, _BODY), CredentialsUnknown)


def test_few_seconds_are_kept(house: House) -> None:
    varying = [b"x-amz-date", b"authorization"]
    head = house.sign(body=_BODY)
    template = _alike(house, head, varying)
    assert template is not None
    day = dict(head.headers)[b"x-amz-date"][:9]

    for second in range(60):  # as if each of them had been right
        template._keep(b"%b0000%02dZ" % (day, second), template._begin(day, _values(head, varying)))

    assert 1 <= _kept(template) <= 8
    assert template.check(_values(head, varying), _BODY) is None


def test_many_kinds_of_calls_in_turn_are_each_judged_by_their_own_values(house: House) -> None:
    _, template = _template(house)
    heads = [house.sign(body=_BODY, headers=_HEADERS | {"Amz-Sdk-Request": f"a={n}"}) for n in range(100)]
    calls = [_values(head) for head in heads]

    for _ in range(2):
        for number, values in enumerate(calls):
            assert template.check(values, _BODY) is None
            foreign = [*values]
            foreign[1] = calls[number - 1][1]  # the signature of the call before
            assert isinstance(template.check(foreign, _BODY), SignatureWrong)
            assert isinstance(template.check(values, b"another"), SignatureWrong)
    assert _kept(template) == 0  # each signs something else


def test_a_signature_is_not_good_for_another_body(house: House) -> None:
    head, template = _template(house)

    assert isinstance(template.check(_values(head), b"another"), SignatureWrong)
    assert isinstance(template.check(_values(head), b""), SignatureWrong)


def test_a_hash_that_is_sent_has_to_be_the_bodys(house: House) -> None:
    varying = [*_VARYING, b"x-amz-content-sha256"]
    right = sha256(_BODY).hexdigest()
    head = house.sign(body=_BODY, headers=_HEADERS | {"X-Amz-Content-SHA256": right})
    template = _alike(house, head, varying)
    assert template is not None

    assert template.check(_values(head, varying), _BODY) is None
    assert isinstance(template.check(_values(head, varying), b"another"), SignatureWrong)
    other = house.sign(body=_BODY, headers=_HEADERS | {"X-Amz-Content-SHA256": "0" * 64})
    assert isinstance(template.check(_values(other, varying), _BODY), SignatureWrong)


def test_who_does_not_sign_bodies_may_send_any(house: House) -> None:
    head, template = _template(house, **{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})

    assert template.check(_values(head), b"another") is None
    values = _values(house.sign(headers=_HEADERS))
    assert isinstance(template.check(values, _BODY), SignatureWrong)


def test_each_call_has_its_own_time(house: House) -> None:
    head, template = _template(house)
    for ahead_s, told in ((905, "expired"), (-905, "not yet current"), (86_400, "expired")):
        house.ahead_s = ahead_s
        error = template.check(_values(head), _BODY)
        assert isinstance(error, SignatureWrong)
        assert told in error.message


def test_a_revoked_key_signs_nothing_more(house: House) -> None:
    head, template = _template(house)
    house.keyring.replace([])

    assert isinstance(template.check(_values(head), _BODY), CredentialsUnknown)


@pytest.mark.parametrize(
    "varying",
    [
        [],
        [b"authorization"],
        [b"x-amz-date"],
        [b"authorization", b"x-amz-date", b"x-amz-date"],
        [b"authorization", b"x-amz-date", b"not-there"],
    ],
)
def test_heads_in_which_something_else_differs_are_read_one_by_one(
    house: House, varying: list[bytes]
) -> None:
    assert _alike(house, house.sign(), varying) is None


def test_a_header_that_is_there_twice_is_no_gap(house: House) -> None:
    head = house.sign(body=_BODY)
    twice = head._replace(headers=[*head.headers, (b"content-length", b"7")])

    assert _alike(house, twice, [b"x-amz-date", b"authorization", b"content-length"]) is None


def _other_values(head: AskedHead, others: AskedHead, chance: random.Random) -> Iterator[list[bytes]]:
    while True:
        values, foreign = _values(head), _values(others)
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(values))
            value = bytearray(chance.choice([values[at], foreign[at]]))
            if value and chance.randrange(2):
                value[chance.randrange(len(value))] = chance.choice(b"0123456789abcdefTZ =;-:")
            values[at] = bytes(value)
        yield values


def test_no_call_is_let_in_that_would_be_refused_if_it_was_read_by_itself(house: House) -> None:
    head, template = _template(house)
    other = house.sign(body=b"1", headers=_HEADERS | {"Amz-Sdk-Request": "attempt=2"})
    chance = random.Random(14)
    let_in = 0
    for values in (each for each, _ in zip(_other_values(head, other, chance), range(3000), strict=False)):
        body = chance.choice([_BODY, b"1"])
        authorization = dict(head.headers)[b"authorization"].rpartition(b"=")[0] + b"=" + values[1]
        fields = dict(zip(_VARYING, values, strict=True)) | {b"authorization": authorization}
        read = head._replace(
            headers=[(name, fields.get(name, value).strip()) for name, value in head.headers]
        )
        found = template.check(values, body)
        if found is None:
            let_in += 1
            house.claims.check_body(house.claims.read(read, authorization), sha256(body).hexdigest().encode())
        else:
            assert isinstance(found, CallerError)
    assert let_in > 100


def test_no_value_breaks_it(house: House) -> None:
    _, template = _template(house)
    chance = random.Random(15)
    for _ in range(2000):
        values = [
            bytes(chance.choices(b"0123456789abcdefTZ =;-:.|", k=chance.randrange(70))) for _ in _VARYING
        ]
        assert isinstance(template.check(values, _BODY), NotAuthenticated)


def test_what_goes_wrong_in_a_judgement_is_for_who_answers_the_round(house: House) -> None:
    inner = Answering("inner", lambda asked: [])
    heads = SignedHead(house.claims, "/endpoints/iris/invocations", lambda _: inner, lambda _: inner)
    head = house.sign(body=_BODY)
    varying = [b"x-amz-date", b"authorization"]
    judge = heads.alike(head.headers, varying)
    assert judge is not None
    assert judge(_values(head, varying), _BODY) is inner

    answering = judge([], _BODY)

    with pytest.raises(IndexError):
        answering.answer_all([(answering.head, [_BODY])])
