"""Odd estimators and columns: why there is no program of them, or that its answer is equal after all."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB, ComplementNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeRegressor

from service.errors import NotCompilable
from service.hosting.programs import table as programs
from service.hosting.programs.blocks import (
    MOST_CELLS,
    STRANGER,
    Blocks,
    NumberBlock,
    WordBlock,
    Words,
    begin,
    choose,
    look_up,
    merged,
    pick,
    then,
    together,
)
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.programs.domain import Domain, Wide, bare
from service.hosting.programs.preparation import prepare
from service.hosting.programs.trees import forests_in

_TEXTS, _LABELS = ["good film", "bad film", "a film so good", "bad bad"] * 3, [1, 0] * 6
_RANDOM = np.random.default_rng(5)
_ROWS = _RANDOM.normal(size=(2500, 4))
_NUMBERS = _RANDOM.normal(size=2500)
_CODES = np.array([[0.0], [1.0], [2.0]])
_TABLE = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


# ---- texts


def _of_texts(*steps: Any) -> Any:
    return make_pipeline(*steps).fit(_TEXTS, _LABELS)


@pytest.mark.parametrize("weight", [np.inf, np.nan])
def test_weights_of_words_that_are_not_finite_are_left_to_scikit_learn(weight: float) -> None:
    pipeline = _of_texts(TfidfVectorizer(), LogisticRegression())
    pipeline[0]._tfidf.idf_[0] = weight
    with pytest.raises(NotCompilable, match="holds weights that are not finite"):
        programs.build(pipeline)


def test_weights_of_words_in_float32_are_left_to_scikit_learn() -> None:
    pipeline = _of_texts(TfidfVectorizer(), LogisticRegression())
    pipeline[0]._tfidf.idf_ = pipeline[0]._tfidf.idf_.astype(np.float32)
    with pytest.raises(NotCompilable, match="or in float32"):
        programs.build(pipeline)


def test_words_that_a_linear_model_has_no_weights_for_are_left_to_scikit_learn() -> None:
    pipeline = _of_texts(CountVectorizer(), LogisticRegression())
    pipeline[0].vocabulary_["more"] = len(pipeline[0].vocabulary_)
    with pytest.raises(NotCompilable, match="there are other columns than weights"):
        programs.build(pipeline)


def test_complement_bayes_of_a_single_class_is_left_to_scikit_learn() -> None:
    pipeline = make_pipeline(CountVectorizer(), ComplementNB()).fit(_TEXTS, [1] * len(_TEXTS))
    with pytest.raises(NotCompilable, match="it knows a single class"):
        programs.build(pipeline)


def test_bernoulli_bayes_that_counts_words_that_are_not_there_is_left_to_scikit_learn() -> None:
    pipeline = _of_texts(CountVectorizer(), BernoulliNB())
    pipeline[-1].set_params(binarize=-0.5)  # which older versions could be fitted with
    with pytest.raises(NotCompilable, match="words that are not there would count"):
        programs.build(pipeline)


def test_bernoulli_bayes_that_takes_marks_as_they_are_answers_as_scikit_learn_does() -> None:
    pipeline = _of_texts(CountVectorizer(binary=True), BernoulliNB(binarize=None))
    asked = ["bad bad bad", "good", "", "so so film bad", "nothing known"]
    for name in ("predict", "predict_proba"):
        found = programs.build(pipeline)[name](asked)
        np.testing.assert_array_equal(found, getattr(pipeline, name)(asked))


# ---- encoders


def _of_words(*known: str) -> Any:
    return np.array([[word] for word in known], dtype=object)


def test_an_encoder_of_a_sparse_matrix_has_no_program() -> None:
    words = Words([None])
    blocks = Blocks(begin(words).parts, sparse=True)
    with pytest.raises(NotCompilable, match="the OneHotEncoder takes a sparse matrix"):
        prepare(OneHotEncoder().fit(_CODES), blocks, words)


def test_an_encoder_that_saw_nothing_but_gaps_has_no_program_of_numbers() -> None:
    encoder = OneHotEncoder(handle_unknown="ignore").fit(np.full((4, 1), np.nan))
    words = Words([None])
    with pytest.raises(NotCompilable, match="an encoder knows no number of a column of numbers"):
        prepare(encoder, begin(words), words)


@pytest.mark.parametrize("number", [7.0, np.nan])
def test_a_number_that_a_strict_encoder_does_not_know_is_left_to_it(number: float) -> None:
    encoder, words = OneHotEncoder(sparse_output=False).fit(_CODES), Words([None])
    step = together(prepare(encoder, begin(words), words)).step
    np.testing.assert_array_equal(step(_CODES), encoder.transform(_CODES))
    with pytest.raises(NotForPrograms):
        step(np.array([[1.0], [number]]))


def test_a_strict_encoder_of_very_many_words_is_not_asked_one_by_one() -> None:
    known = [f"word {number}" for number in range(300)]
    encoder, words = OrdinalEncoder().fit(_of_words(*known)), Words([(STRANGER, *known)])
    with pytest.raises(NotCompilable, match="an encoder refuses some of very many words"):
        prepare(encoder, begin(words), words)


def test_a_strict_encoder_of_few_words_tells_which_it_refuses() -> None:
    encoder, words = OrdinalEncoder().fit(_of_words("a", "b")), Words([(STRANGER, "b", "a")])
    step = together(prepare(encoder, begin(words), words)).step
    assert words.refused == {0: {0}}
    np.testing.assert_array_equal(step(np.array([[1.0], [2.0]])), [[1.0], [0.0]])


def test_an_encoder_that_gives_other_columns_than_it_says_is_trusted_with_no_word() -> None:
    encoder, words = OrdinalEncoder().fit(_of_words("a", "b")), Words([("a", "b")])
    encoder.encodings_ = [np.zeros(2), np.zeros(2)]  # as if each word became two columns
    prepare(encoder, begin(words), words)
    assert words.refused == {0: {0, 1}}


# ---- blocks


def test_a_column_of_so_many_words_that_its_table_would_be_large_has_no_program() -> None:
    with pytest.raises(NotCompilable, match="so many words that their table would be large"):
        look_up(0, np.zeros((MOST_CELLS // 2 + 1, 2)))
    assert look_up(0, np.zeros((MOST_CELLS // 2, 2))).width == 2


def test_one_column_of_a_table_is_a_table_again() -> None:
    (part,) = choose(Blocks((look_up(0, _TABLE),)), [1]).parts
    assert isinstance(part, NumberBlock)
    assert part.table is not None
    np.testing.assert_array_equal(part.table, _TABLE[:, [1]])
    np.testing.assert_array_equal(part.step(_CODES[::-1]), [[6.0], [4.0], [2.0]])


@pytest.mark.parametrize("gaps", [True, False])
def test_one_column_of_what_is_worked_out_is_worked_out_and_then_taken(*, gaps: bool) -> None:
    doubled = NumberBlock(lambda rows: np.concatenate([rows, rows * 2], axis=-1), 2, gaps=gaps)
    (part,) = choose(Blocks((doubled,), sparse=True), [1]).parts
    assert isinstance(part, NumberBlock)
    assert (part.width, part.gaps, part.table, part.picked) == (1, gaps, None, None)
    np.testing.assert_array_equal(part.step(_CODES), _CODES * 2)
    np.testing.assert_array_equal(part.step(_CODES[np.newaxis]), _CODES[np.newaxis] * 2)


def test_columns_that_came_as_they_are_are_taken_from_their_own_places() -> None:
    (part,) = choose(Blocks((pick([2, 0, 3]),)), [2, 1]).parts
    assert isinstance(part, NumberBlock)
    assert part.picked == (3, 0)
    np.testing.assert_array_equal(part.step(_ROWS[:5]), _ROWS[:5, [3, 0]])


def test_tables_of_one_column_become_one_and_those_of_two_do_not() -> None:
    (both,) = merged([look_up(0, _TABLE), look_up(0, -_TABLE)])
    assert isinstance(both, NumberBlock)
    np.testing.assert_array_equal(both.step(_CODES), np.hstack([_TABLE, -_TABLE]))
    assert len(merged([look_up(0, _TABLE), look_up(1, _TABLE)])) == 2


@pytest.mark.parametrize("parts", [(pick([0]), WordBlock(1, ("a",))), (WordBlock(0, ("a",)),), ()])
def test_words_are_not_given_to_what_takes_numbers_alone(parts: Any) -> None:
    with pytest.raises(NotCompilable, match="words are given to a step that is known to take numbers alone"):
        together(Blocks(parts))


def test_what_is_made_of_a_table_cell_by_cell_is_made_once() -> None:
    asked: list[Any] = []

    def halve(rows: Any) -> Any:
        asked.append(rows)
        return rows / 2

    found = then(look_up(0, _TABLE), halve, 2, gaps=True, by_cell=True)
    for _ in range(3):
        np.testing.assert_array_equal(found.step(_CODES), _TABLE / 2)
    assert len(asked) == 1


# ---- trees


def test_a_forest_of_very_large_trees_is_not_copied() -> None:
    forest = RandomForestRegressor(1, bootstrap=False).fit(_ROWS, _NUMBERS)
    forest.estimators_ *= 5000
    with pytest.raises(NotCompilable, match=r"its trees hold \d+ MiB, of which no copy is made"):
        programs.build(forest)


def test_boosting_of_very_large_trees_is_not_copied() -> None:
    how: dict[str, Any] = {"max_leaf_nodes": None, "min_samples_leaf": 1, "early_stopping": False}
    model = HistGradientBoostingRegressor(max_iter=1, **how).fit(_ROWS, _NUMBERS)
    model._predictors *= (300 << 20) // model._predictors[0][0].nodes.nbytes
    with pytest.raises(NotCompilable, match=r"its trees hold \d+ MiB, of which no copy is made"):
        programs.build(model)


def _forest(seed: int) -> Any:
    return RandomForestRegressor(2, max_depth=2, random_state=seed)


def test_merged_trees_are_found_wherever_programs_hold_them() -> None:
    rows, numbers = _ROWS[:50], _NUMBERS[:50]
    one = programs.build(_forest(0).fit(rows, numbers))
    (held,) = forests_in([bare(one["predict"])])
    assert forests_in([Wide(one["predict"], Domain.GAPS)]) == [held]
    assert forests_in([lambda given: one["predict"](given)]) == [held]
    voting = VotingRegressor([("a", _forest(1)), ("b", _forest(2))]).fit(rows, numbers)
    assert len(forests_in(programs.build(voting).values())) == 2
    lone = programs.build(DecisionTreeRegressor(max_depth=2).fit(rows, numbers))
    assert forests_in(lone.values()) == []


def test_a_category_that_is_infinite_is_not_taken_for_one_that_is_unknown() -> None:
    rows = np.column_stack([np.arange(60) % 3, _ROWS[:60, 0]]).astype(np.float64)
    labels = (rows[:, 0] == 1).astype(int)
    model = HistGradientBoostingClassifier(
        max_iter=2, min_samples_leaf=2, categorical_features=[0], early_stopping=False
    ).fit(rows, labels)
    program = bare(programs.build(model)["predict_proba"])
    strange = np.array([[9.0, 0.5], [np.nan, 0.5], [1.0, 0.5]])
    np.testing.assert_array_equal(program(strange), model.predict_proba(strange))
    strange[1, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict_proba(strange)
    with pytest.raises(NotForPrograms):
        program(strange)
