"""Texts, gaps and categories: programs answer as scikit-learn does, by every bit; what they leave to it."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.tree import DecisionTreeClassifier

from service.errors import BadPayload, NotCompilable
from service.hosting.programs import table as programs
from service.hosting.programs.compiled import Joined, Quick, compile_model
from service.hosting.programs.domain import Domain, Wide, domain_of, widened
from service.hosting.programs.speeds import faster_for
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import Accept
from tests.hosting.programs.odd import TEXTS, TREES, compiled, differing, fitted

pytestmark = pytest.mark.filterwarnings("ignore")
_ACCEPT = Accept("application/json", None)
_TWO_TEXTS = ["good film", "bad film"] * 10, [1, 0] * 10


@pytest.mark.parametrize("name", [*TEXTS, *TREES])
def test_a_program_answers_as_scikit_learn_does_by_every_bit(name: str) -> None:
    with np.errstate(all="ignore"):
        compared, differ, quick = differing(name, 150, 5)
    assert differ == 0
    assert quick == compared


@pytest.mark.parametrize("name", ["tf-idf, logistic", "boosting of two with categories"])
def test_requests_of_texts_and_of_gaps_may_be_put_together(name: str) -> None:
    _, verdict = compiled(name)
    assert verdict.compiled
    assert {verdict.joins[method] for method in verdict.compiled} == {Joined.ROWS}


# ---- gaps


@pytest.mark.parametrize(
    ("domain", "value", "held"),
    [
        (Domain.PLAIN, np.nan, False),
        (Domain.GAPS, np.nan, True),
        (Domain.GAPS, np.inf, False),
        (Domain.GAPS, 1e300, False),
        (Domain.ANY, np.nan, True),
        (Domain.ANY, -np.inf, True),
        (Domain.TEXTS, np.nan, False),
    ],
)
def test_a_program_is_given_only_what_it_takes(domain: Domain, value: float, *, held: bool) -> None:
    quick = Quick(lambda rows: rows, domain=domain)
    assert (quick(np.array([[1.0, value], [2.0, 3.0]])) is not None) is held


def test_rows_to_try_a_domain_with_are_in_it() -> None:
    rows = np.ones((200, 3))
    for domain in (Domain.GAPS, Domain.ANY):
        assert domain.holds(widened(rows, domain))
        assert np.isnan(widened(rows, domain)).any()


def test_a_category_that_is_infinite_is_refused_in_scikit_learns_words() -> None:
    model, _ = compiled("boosting of two with categories")
    row = np.array([[0.0, np.inf, 0.0, 1.0, 0.0, 0.0]])
    with pytest.raises(BadPayload, match="infinity"):
        model.predict(row, _ACCEPT)
    assert model.predict(np.array([[np.nan, 99.0, 0.0, np.nan, 0.0, 0.0]]), _ACCEPT).shape == (1,)


def test_categories_of_gaps_alone_are_all_unknown() -> None:
    rows = np.random.default_rng(0).normal(size=(80, 2))
    rows[:, 0] = np.nan
    labels = (rows[:, 1] > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(rows, labels)
    rows[::2, 0] = 4.0
    np.testing.assert_array_equal(programs.build(model)["predict_proba"](rows), model.predict_proba(rows))


def test_a_program_that_is_wrong_about_gaps_is_not_used() -> None:
    class Wrong(SklearnModel):
        def programs(self) -> Any:
            right = super().programs()["predict"]
            return {"predict": Wide(lambda rows: np.where(np.isnan(rows[:, 0]), 9, right(rows)), Domain.GAPS)}

    model = Wrong(fitted("tree"))
    verdict = compile_model(model)
    assert verdict.compiled == ()
    assert "disagrees" in verdict.sentence


# ---- speeds


@pytest.mark.parametrize(
    ("speeds", "sizes"),
    [
        (((1, 2.0, 1.0), (8, 2.0, 1.0)), (1, float("inf"))),
        (((1, 1.0, 2.0), (8, 3.0, 2.0)), (8, float("inf"))),
        (((1, 2.0, 1.0), (8, 2.0, 3.0)), (1, 1)),
        (((1, 20.0, 1.0), (11, 30.0, 21.0)), (1, 20.0)),
        (((1, 2.0, 1.0),), (1, float("inf"))),
    ],
)
def test_a_program_is_used_for_as_many_rows_as_it_is_faster_for(speeds: Any, sizes: Any) -> None:
    assert faster_for(speeds) == sizes


# ---- texts


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((CountVectorizer(tokenizer=str.split), LogisticRegression()), "functions of the model's own"),
        ((CountVectorizer(analyzer=str.split), LogisticRegression()), "functions of the model's own"),
        ((CountVectorizer(strip_accents=str.upper), LogisticRegression()), "functions of the model's own"),
        ((CountVectorizer(preprocessor=str.upper), LogisticRegression()), "functions of the model's own"),
        ((TfidfVectorizer(dtype=np.float32), LogisticRegression()), "counts in float32"),
        ((CountVectorizer(), MaxAbsScaler(), LogisticRegression()), "no program for MaxAbsScaler behind"),
        ((TfidfVectorizer(), DecisionTreeClassifier()), "no program for DecisionTreeClassifier behind"),
        ((TfidfVectorizer(),), "sparse matrix"),
    ],
)
def test_other_pipelines_of_texts_are_left_to_scikit_learn(steps: Any, reason: str) -> None:
    pipeline = make_pipeline(*steps).fit(*_TWO_TEXTS)
    with pytest.raises(NotCompilable, match=reason):
        programs.build(pipeline)


def test_texts_that_are_normalized_by_their_largest_weight_are_left_to_scikit_learn() -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*_TWO_TEXTS)
    pipeline[0]._tfidf.norm = "max"
    with pytest.raises(NotCompilable, match="normalized by max"):
        programs.build(pipeline)


def test_a_vectorizer_that_reads_files_is_left_to_scikit_learn() -> None:
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(*_TWO_TEXTS)
    pipeline[0].set_params(input="filename")
    with pytest.raises(NotCompilable, match="reads files"):
        programs.build(pipeline)


def test_weights_for_other_columns_than_are_counted_are_left_to_scikit_learn() -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*_TWO_TEXTS)
    pipeline[0].vocabulary_["more"] = 3
    with pytest.raises(NotCompilable, match="other columns"):
        programs.build(pipeline)
    pipeline[0].vocabulary_["more"] = 9
    with pytest.raises(NotCompilable, match="places that it has no columns for"):
        programs.build(pipeline)


def test_a_vocabulary_of_numpys_numbers_is_read_too() -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*_TWO_TEXTS)
    before = programs.size_bytes(pipeline)
    words = pipeline[0].vocabulary_
    words.update({word: np.int64(place) for word, place in words.items()})
    assert programs.size_bytes(pipeline) > before
    program = programs.build(pipeline)["predict_proba"]
    assert domain_of(program) is Domain.TEXTS
    np.testing.assert_array_equal(program(["good", "film"]), pipeline.predict_proba(["good", "film"]))


def test_weights_that_are_sparse_are_left_to_scikit_learn() -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*_TWO_TEXTS)
    pipeline[-1].sparsify()
    with pytest.raises(NotCompilable, match="the weights are sparse"):
        programs.build(pipeline)


def test_half_a_character_is_scikit_learns_matter_and_the_program_goes_on() -> None:
    letters = HashingVectorizer(n_features=64, analyzer="char")
    pipeline = make_pipeline(letters, LogisticRegression()).fit(*_TWO_TEXTS)
    quick = Quick(programs.build(pipeline)["predict"], domain=Domain.TEXTS)
    assert quick(["\ud800\ud800"]) is None
    assert quick(["good film"]) == pipeline.predict(["good film"])


def test_hashed_words_that_take_each_other_away_have_no_logarithm() -> None:
    steps = (HashingVectorizer(n_features=2, norm=None), TfidfTransformer())
    pipeline = make_pipeline(*steps, LogisticRegression()).fit(["film", "good", "bad"] * 4, [0, 1] * 6)
    pipeline[1].sublinear_tf = True
    program = Quick(programs.build(pipeline)["predict"], domain=Domain.TEXTS)
    words = [f"word{number}" for number in range(40)]
    assert any(program([f"{one} {other}"]) is None for one in words for other in words)


def test_rows_are_never_given_to_a_program_of_texts() -> None:
    model, _ = compiled("tf-idf, logistic")
    assert model.quick["predict"](np.ones((1, 3))) is None
    assert model.quick["predict"].takes_texts
