"""Joined calls get what each would get alone, whatever is beside them."""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from service.hosting.calls.joining import MOST_ROWS, answer_lanes, answer_together, lane_of
from service.hosting.host import Answer, Call, Outcome, ShortWay
from service.hosting.programs.compiled import Compiling, Joined, compile_model
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import Accept
from service.media.tables import PLAIN
from service.media.types import JSON

_ROWS, _LABELS = make_classification(200, 4, random_state=0)
_NUMBERS = st.floats(-5, 5).map(lambda value: round(value, 3))
_CELLS = _NUMBERS.map(str) | st.sampled_from(["nan", "inf", "x", "", "1e30", "1e200", " 2 "])


def _npy(rows: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows))
    return buffer.getvalue()


_MATRICES = st.lists(st.lists(_NUMBERS, min_size=4, max_size=4), min_size=1, max_size=5)
_TABLES = st.lists(st.lists(_CELLS, min_size=3, max_size=5), min_size=1, max_size=4)
_BODIES = st.one_of(
    _TABLES.map(lambda rows: ("text/csv", "\n".join(map(",".join, rows)).encode())),
    _MATRICES.map(lambda rows: ("text/csv", "\n".join(",".join(map(str, row)) for row in rows).encode())),
    _MATRICES.map(lambda rows: ("application/json", str(rows).encode())),
    _MATRICES.map(lambda rows: ("application/jsonlines", "\n".join(map(str, rows)).encode())),
    _MATRICES.map(lambda rows: ("application/x-npy", _npy(rows))),
    st.just(("application/json", b'[{"a": 1}]')),
    st.just(("image/png", b"?")),
)
_ACCEPTS = st.sampled_from(
    (
        *(None, "text/csv", "application/x-npy", "application/jsonlines", "image/png"),
        *("application/json; output=probabilities", "text/csv; output=predicted_label+probabilities"),
    )
)
_CALLS = st.lists(st.tuples(_BODIES, _ACCEPTS), min_size=1, max_size=12)


@cache
def _models() -> dict[str, SklearnModel]:
    models = {
        "forest": SklearnModel(RandomForestClassifier(8, random_state=0).fit(_ROWS, _LABELS)),
        "linear": SklearnModel(LogisticRegression().fit(_ROWS, _LABELS)),
        "targets": SklearnModel(
            RandomForestClassifier(4, random_state=0).fit(_ROWS, np.column_stack([_LABELS, 1 - _LABELS]))
        ),
        "neighbours": SklearnModel(KNeighborsClassifier().fit(_ROWS, _LABELS)),
    }
    for model in models.values():
        assert compile_model(model).joins
    return models


_NAMES = ("forest", "linear", "targets", "neighbours")


@pytest.mark.parametrize("name", _NAMES)
@settings(max_examples=40)
@given(pairs=_CALLS)
def test_joined_calls_get_what_each_would_get_alone(
    name: str, pairs: list[tuple[tuple[str, bytes], str | None]]
) -> None:
    model = _models()[name]
    calls = [Call(body, content_type, accept) for (content_type, body), accept in pairs]
    together = answer_together(model, calls, "application/json")
    alone = [answer_together(model, [call], "application/json")[0] for call in calls]
    assert [_plain(outcome) for outcome in together] == [_plain(outcome) for outcome in alone]


def _plain(outcome: Any) -> Any:
    return outcome if isinstance(outcome, Answer) else (type(outcome), str(outcome))


class _Watched:
    """Answers the first column, remembers how many rows came at once."""

    takes = PLAIN
    features = None
    coded = False

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def quick_for(self, accept: Accept) -> None:
        """It has no program."""

    def code(self, data: Any) -> None:
        """It has no program."""

    def answers_by_row(self, accept: Accept) -> bool:
        return True

    def joined(self, accept: Accept) -> Joined:
        return Joined.ROWS

    def predict_joined(self, rows: Any, each: int, accept: Accept) -> None:
        raise AssertionError("its rows are put together")

    def predict(self, data: Any, accept: Accept) -> Any:
        self.sizes.append(len(data))
        if (data == 13).any():
            raise ValueError("unlucky")
        return data[:, 0]


def _csv(*rows: str) -> Call:
    return Call("\n".join(rows).encode(), "text/csv", "text/csv")


def test_calls_of_one_width_are_one_prediction() -> None:
    predict = _Watched()
    found = answer_together(
        predict, [_csv("1,0"), _csv("2,0", "3,0"), _csv("4,0,0"), _csv("5,0")], "text/csv"
    )
    assert [outcome.body for outcome in found if isinstance(outcome, Answer)] == [
        b"1.0\n", b"2.0\n3.0\n", b"4.0\n", b"5.0\n",
    ]  # fmt: skip
    assert sorted(predict.sizes) == [1, 4]


def test_a_row_that_fails_is_the_matter_of_its_own_call() -> None:
    predict = _Watched()
    found = answer_together(predict, [_csv("1,0"), _csv("13,0"), _csv("3,0")], "text/csv")
    assert isinstance(found[1], ValueError)
    assert [found[0], found[2]] == [Answer(b"1.0\n", "text/csv"), Answer(b"3.0\n", "text/csv")]
    assert predict.sizes == [3, 1, 1, 1]


def test_no_more_rows_are_joined_than_the_cap_allows() -> None:
    predict = _Watched()
    calls = [_csv(*["1,0"] * 1000) for _ in range(5)] + [_csv(*["1,0"] * (MOST_ROWS + 1))]
    answer_together(predict, calls, "text/csv")
    assert predict.sizes == [2000, 2000, 1000, MOST_ROWS + 1]


def test_an_answer_of_another_length_is_asked_for_call_by_call() -> None:
    class Counting(_Watched):
        def predict(self, data: Any, accept: Accept) -> Any:
            return np.array([len(data)])

    found = answer_together(Counting(), [_csv("1"), _csv("2", "3")], "text/csv")
    assert found == [Answer(b"1\n", "text/csv"), Answer(b"2\n", "text/csv")]


_LANE_BODIES = st.lists(
    st.one_of(
        st.lists(st.lists(_NUMBERS, min_size=4, max_size=4), min_size=1, max_size=3).map(
            lambda rows: "\n".join(",".join(map(str, row)) for row in rows).encode()
        ),
        _TABLES.map(lambda rows: "\n".join(map(",".join, rows)).encode()),
        st.sampled_from(
            [b"1,2,3,4\n", b"1,2,3,4\r\n", b"1,2,3,-0", b"", b"\n", b'"1",2,3,4', b"1,2,3,1e999"]
        ),
    ),
    min_size=1,
    max_size=8,
)


@cache
def _lane_models() -> dict[str, FlavourModel]:
    estimators = {
        "forest": RandomForestClassifier(8, random_state=0).fit(_ROWS, _LABELS),
        "logistic": LogisticRegression().fit(_ROWS, _LABELS),
        "names": LogisticRegression().fit(_ROWS, np.where(_LABELS, "a,b", "no")),
        "ridge": Ridge().fit(_ROWS, _LABELS),
        "several": LinearRegression().fit(_ROWS, np.column_stack([_LABELS, _LABELS])),
        "neighbours": KNeighborsClassifier().fit(_ROWS, _LABELS),
    }
    models = {}
    for name, estimator in estimators.items():
        predictor = SklearnModel(estimator)
        compiling = Compiling(None if name == "neighbours" else predictor)
        models[name] = FlavourModel(predictor, 1, "application/json", compiling)
        if name != "neighbours":
            assert compiling.run(None, None) is not None
    return models


_LANES = ("forest", "logistic", "names", "ridge", "several", "neighbours")


@pytest.mark.parametrize("name", _LANES)
@settings(max_examples=60)
@given(bodies=_LANE_BODIES, accept=_ACCEPTS, content_type=st.sampled_from(["text/csv", "application/json"]))
def test_a_lane_answers_what_the_model_answers(
    name: str, bodies: list[bytes], accept: str | None, content_type: str
) -> None:
    model = _lane_models()[name]
    call = Call(b"", content_type, accept)
    found = lane_of(model, call).answer(bodies)
    assert [_plain(outcome) for outcome in found] == [_plain(_answer(model, call, body)) for body in bodies]


def _answer(model: FlavourModel, call: Call, body: bytes) -> Any:
    try:
        return model.answer(call.with_body(body))
    except Exception as error:
        return error


def test_linear_models_join_requests_of_equal_size_and_forests_any() -> None:
    model = _lane_models()["logistic"]
    assert model.traits.joined(None) is Joined.EQUALS
    assert model.traits.joined("application/json; output=probabilities") is Joined.EQUALS
    assert model.traits.joined("text/csv; output=predicted_label+probabilities") is None
    assert model.traits.joined("image/png") is None
    assert _lane_models()["forest"].traits.joined(None) is Joined.ROWS
    assert _lane_models()["neighbours"].traits.joined(None) is None


@pytest.mark.parametrize("name", ["logistic", "neighbours"])
def test_many_large_bodies_are_answered_in_parts(name: str) -> None:
    model, call = _lane_models()[name], Call(b"", "text/csv", None)
    rows = np.random.default_rng(0).normal(size=(40, 100, 4)).round(3).tolist()
    bodies = ["\n".join(",".join(map(str, row)) for row in some).encode() for some in rows]
    assert lane_of(model, call).answer(bodies) == [_answer(model, call, body) for body in bodies]


_PLAIN_BODIES = _MATRICES.map(lambda rows: "\n".join(",".join(map(str, row)) for row in rows).encode())


@settings(max_examples=200)
@given(
    asked=st.lists(
        st.tuples(
            st.sampled_from(sorted(_LANES)),
            st.lists(_PLAIN_BODIES, min_size=1, max_size=3) | _LANE_BODIES,
            st.sampled_from([None, "text/csv", "image/png"]),
            st.sampled_from(["text/csv", "text/csv", "text/csv", "application/json"]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_lanes_that_are_read_together_answer_what_their_models_answer(
    asked: list[tuple[str, list[bytes], str | None, str]],
) -> None:
    calls = [
        (_lane_models()[name], Call(b"", content_type, accept), bodies)
        for name, bodies, accept, content_type in asked
    ]
    found = answer_lanes([(lane_of(model, call), bodies) for model, call, bodies in calls])
    assert [[_plain(outcome) for outcome in outcomes] for outcomes in found] == [
        [_plain(_answer(model, call, body)) for body in bodies] for model, call, bodies in calls
    ]


class _Noting:
    """A lane that notes the rows it is handed, and has another one answer."""

    def __init__(self, lane: ShortWay) -> None:
        self.compiling, self.verdict, self.takes_rows = lane.compiling, lane.verdict, lane.takes_rows
        self.answer = lane.answer
        self.handed: list[Any] = []
        self._lane = lane

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> list[Outcome] | None:
        self.handed.append(rows)
        return self._lane.answer_rows(rows, bodies, plain=plain)


def test_plain_rows_of_several_lanes_are_read_once() -> None:
    lanes = [
        _Noting(lane_of(_lane_models()[name], Call(b"", "text/csv", None)))
        for name in ("forest", "logistic", "ridge")
    ]
    bodies = [[b"1,2,3,4"], [b"4,3,2,1", b"1,2,3,4"], [b"4,3,2,1"]]
    reader = _Noting(lane_of(_lane_models()["names"], Call(b"", "application/json", None)))
    asked = list(zip(lanes, bodies, strict=True))
    asked.insert(1, (reader, [b"[1,2,3,4]"]))
    found = answer_lanes(asked)
    handed = [rows for lane in lanes for rows in lane.handed]
    assert [rows.tolist() for rows in handed] == [
        [[float(cell) for cell in body.split(b",")] for body in some] for some in bodies
    ]
    assert len({id(rows.base) for rows in handed}) == 1  # all are parts of what was read for all
    assert handed[0].base is not None
    assert reader.handed == []
    assert all(isinstance(outcome, Answer) for outcomes in found for outcome in outcomes)


def test_labels_are_whole_numbers_of_any_size_and_number() -> None:
    labels = np.repeat(np.arange(-300, 300) * 10**15, 3)
    model = FlavourModel(
        SklearnModel(DecisionTreeClassifier(random_state=0).fit(labels.reshape(-1, 1), labels)), 1, JSON, None
    )
    lane = lane_of(model, Call(b"", "text/csv", None))
    for _ in range(2):
        for label in labels.tolist():
            assert lane.answer([b"%d" % label]) == [Answer(b"[%d]" % label, JSON)]
