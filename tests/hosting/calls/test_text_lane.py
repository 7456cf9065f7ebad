"""Texts of several callers, answered together: each as if it had come alone, refused in the same words."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from service.hosting.calls.joining import Lane, lane_of
from service.hosting.calls.text_lane import TextLane
from service.hosting.host import Call
from service.hosting.programs.compiled import Compiling, compile_model
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.sklearn import SklearnModel
from tests.hosting.programs.odd import fitted

_JSON = "application/json"
_LISTS = [
    b'["good film"]',
    b'["bad", "Z\\u00fcrich", "never again"]',
    b'[""]',
    b"[]",
    b'{"instances": ["good", "bad"]}',
    b'["good", 3]',
    b"[1, 2]",
    b'"a text alone"',
    b'\xef\xbb\xbf["good"]',
    b'["\\ud800"]',
    b'["half',
    b"",
    b'["{a: b}"]',
    json.dumps(["good film"] * 300).encode(),
    b'["last"]',
]
_TEXTS = [b"good film", b"bad film\r\n", b"\xff", b"", b"\xef\xbb\xbfgood", "Zürich\n\n".encode(), b" "]


@cache
def _served(name: str = "tf-idf, logistic", default_accept: str = _JSON) -> FlavourModel:
    predictor = SklearnModel(fitted(name))
    model = FlavourModel(predictor, 1000, default_accept, Compiling(predictor))
    verdict = model.traits.compiling.run(None, None)
    assert verdict is not None
    assert "predict" in verdict.compiled
    return model


def _told(outcome: Any) -> Any:
    return (type(outcome).__name__, str(outcome)) if isinstance(outcome, Exception) else outcome


def _alone(model: FlavourModel, call: Call) -> Any:
    plain = SklearnModel(model.predictor.estimator)
    try:
        return FlavourModel(plain, 1000, _JSON).answer(call)
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("content_type", "bodies"),
    [
        (None, _LISTS),
        (_JSON, _LISTS),
        ("Application/JSON; charset=utf-8", _LISTS),
        ("text/plain", _TEXTS),
        ("text/plain; charset=utf-8", _TEXTS),
        ("text/plain; charset=latin-1", _TEXTS),
        ("text/csv", [b"good film\nbad film", b"never, again", b'"good, film"', b""]),
    ],
)
@pytest.mark.parametrize("accept", [None, "text/csv", f"{_JSON}; output=probabilities"])
def test_each_call_gets_what_it_would_get_alone(
    content_type: str | None, bodies: Sequence[bytes], accept: str | None
) -> None:
    model, call = _served(), Call(b"", content_type, accept)
    found = lane_of(model, call).answer(bodies)
    assert [_told(each) for each in found] == [_told(_alone(model, call.with_body(body))) for body in bodies]


def test_texts_have_a_lane_of_their_own_only_where_their_program_answers() -> None:
    model = _served()
    assert isinstance(lane_of(model, Call(b"", None, None)), TextLane)
    assert isinstance(lane_of(model, Call(b"", None, "image/png")), Lane)
    assert isinstance(lane_of(model, Call(b"", None, f"{_JSON}; output=probabilities")), Lane)
    assert isinstance(
        lane_of(FlavourModel(SklearnModel(fitted("search")), 1, _JSON), Call(b"", None, None)), Lane
    )
    lane = lane_of(model, Call(b"", None, None))
    assert not lane.takes_rows(2)
    assert lane.answer_rows(None, [b"1"]) is None


def test_what_a_program_leaves_is_answered_by_scikit_learn() -> None:
    model = _served("hashed, logistic")
    call = Call(b"", None, None)
    bodies = [b'["good"]', b'["\\ud800"]', b'["bad"]']
    found = [_told(each) for each in lane_of(model, call).answer(bodies)]
    assert found == [_told(_alone(model, call.with_body(body))) for body in bodies]


def test_texts_are_not_put_together_unless_that_was_seen_to_change_nothing() -> None:
    predictor = SklearnModel(fitted("tf-idf, logistic"))
    compile_model(predictor)
    predictor.accelerate(predictor.quick, {})
    model = FlavourModel(predictor, 1000, _JSON)
    lane = lane_of(model, Call(b"", None, None))
    bodies = [b'["good"]', b'["bad"]']
    right = [_alone(model, Call(body, None, None)) for body in bodies]
    assert lane.answer(bodies) == right
    assert lane.answer(bodies[:1]) == right[:1]


def test_an_answer_that_cannot_be_written_is_the_fault_of_its_own_call() -> None:
    model = _served()
    call = Call(b"", None, "application/x-npy")
    bodies = [b'["good"]', b'["bad"]']
    found = [_told(each) for each in lane_of(model, call).answer(bodies)]
    assert found == [_told(_alone(model, call.with_body(body))) for body in bodies]
