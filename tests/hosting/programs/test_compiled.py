"""Programs: equal to the last bit, refused where they differ, used where they are faster."""

import re
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from service.errors import NotCompilable
from service.hosting.programs import table as programs
from service.hosting.programs.compiled import Compiling, Joined, NotForPrograms, Quick, Verdict, compile_model
from service.hosting.programs.probes import probe_rows
from service.hosting.programs.program import check_plain, only_single, stackable
from service.hosting.runtimes.row_wise import is_row_wise
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import Accept

_ROWS, _LABELS = make_classification(300, 6, n_informative=4, n_classes=3, random_state=0)
_NUMBERS = make_regression(300, 6, noise=3.0, random_state=0)[1]
_ACCEPT = Accept("application/json", None)

_EXACT = {
    "forest": RandomForestClassifier(30, random_state=0),
    "forest of two classes": RandomForestClassifier(30, random_state=0),
    "regression forest": RandomForestRegressor(30, random_state=0),
    "extra trees": ExtraTreesRegressor(30, random_state=0),
    "one tree": RandomForestClassifier(1, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=10, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=10, random_state=0),
    "histogram regression": HistGradientBoostingRegressor(max_iter=10, random_state=0),
    "linear": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
    "prepared": make_pipeline(SimpleImputer(), RobustScaler(), MinMaxScaler(), MaxAbsScaler(), Ridge()),
    "chosen": make_pipeline(SelectKBest(k=3), StandardScaler(with_std=False), LogisticRegression()),
    "united": make_pipeline(
        FeatureUnion([("a", PCA(2)), ("b", StandardScaler())]), RandomForestClassifier(9, random_state=0)
    ),
    "columns": make_pipeline(
        ColumnTransformer(
            [("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), slice(2, 4)), ("c", "drop", [4])],
            remainder="passthrough",
        ),
        LogisticRegression(),
    ),
}


@pytest.mark.parametrize("name", _EXACT)
def test_a_program_is_equal_to_the_last_bit_near_thresholds_and_at_edges(name: str) -> None:
    answers = _NUMBERS if "regression" in name or name in ("extra trees", "prepared") else _LABELS
    estimator = _EXACT[name].fit(_ROWS, answers if "two" not in name else answers > 0)
    rows = probe_rows(estimator, 6, _ROWS[:5], seed=7)
    for method, program in programs.build(estimator).items():
        np.testing.assert_array_equal(program(rows), getattr(estimator, method)(rows))
        for at in range(0, len(rows), 7):
            row = rows[at : at + 1]
            np.testing.assert_array_equal(program(row), getattr(estimator, method)(row))


def test_values_on_a_threshold_that_float32_cannot_hold_keep_their_label() -> None:
    rows = np.repeat(np.array([[0.1], [0.3]]), 20, axis=0)
    forest = RandomForestClassifier(5, random_state=0).fit(rows, np.repeat([0, 1], 20))
    threshold = next(tree.tree_.threshold[0] for tree in forest.estimators_ if tree.tree_.node_count > 1)
    near = np.array([[threshold], [np.nextafter(threshold, 0)], [np.nextafter(threshold, 1)]])
    near = np.concatenate([near, near.astype(np.float32).astype(np.float64), near + 1e-9, near - 1e-9])
    np.testing.assert_array_equal(programs.build(forest)["predict"](near), forest.predict(near))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.5e38, -1e300])
def test_rows_that_float32_cannot_hold_are_left_to_the_estimator(value: float) -> None:
    quick = Quick(lambda rows: rows)
    assert quick(np.array([[1.0, value]])) is None
    assert quick(np.array([[1.0, 2.0], [value, 0.0]])) is None
    assert quick(np.array([[1.0, 3e38]])) is not None


@pytest.mark.parametrize(
    "rows", [[[1.0]], np.array([1.0]), np.array([[1]]), np.array([[1.0]], dtype=np.float32), None]
)
def test_what_is_no_matrix_of_float64_is_left_to_the_estimator(rows: Any) -> None:
    assert Quick(lambda rows: rows)(rows) is None


def test_each_number_of_rows_goes_the_quicker_way() -> None:
    quick = Quick(lambda rows: "program", 2, 3)
    answers = [quick(np.ones((count, 1))) for count in (1, 2, 3, 4)]
    assert answers == [None, "program", "program", None]


def test_a_program_that_fails_later_is_not_asked_again() -> None:
    asked: list[int] = []

    def program(rows: Any) -> Any:
        asked.append(len(rows))
        raise MemoryError

    quick = Quick(program)
    assert [quick(np.ones((1, 1))) for _ in range(3)] == [None, None, None]
    assert quick.answer_stack(np.ones((2, 1)), 1) is None
    assert asked == [1]


class _Reference:
    """A stand-in for a loaded model: doubles its first column; `program` is what claims to do the same."""

    estimator: Any = None
    features: int | None = 3

    def __init__(self, program: Callable[[Any], Any], delay: int = 3000) -> None:
        self.program = program
        self.delay = delay
        self.quick: Mapping[str, Quick] = {}

    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"predict": self.predict}

    def predict(self, rows: Any) -> Any:
        for _ in range(self.delay):
            pass
        return rows[:, 0] * 2

    def programs(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"predict": self.program}

    def program_bytes(self) -> int:
        return 1000

    def method(self, name: str) -> Callable[[Any], Any]:
        return self.methods()[name]

    def is_row_wise(self) -> bool:
        return False

    def probes(self) -> None:
        """Such as any model is tried with."""

    def accelerate(self, programs: Mapping[str, Quick], joins: Mapping[str, Joined]) -> None:
        self.quick = programs


def test_an_equal_and_faster_program_is_used() -> None:
    reference = _Reference(lambda rows: rows[:, 0] + rows[:, 0])
    verdict = compile_model(reference)
    assert verdict.sentence == "compiled: predict"
    assert reference.quick["predict"](np.ones((1, 3))) == 2


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (lambda rows: rows[:, 0] * (2 + 1e-15), "disagrees, for example on the row"),
        (lambda rows: np.where(rows[:, 0] < 0, 0.0, rows[:, 0] * 2), "disagrees, for example on the row"),
        (lambda rows: (rows[:, 0] * 2).astype(np.float32), "gives float32"),
        (lambda rows: (rows[:, 0] * 2)[:, None], "gives float64 ("),
        (lambda rows: (rows[:, 0] * 2).tolist(), "gives a list, not a ndarray"),
        (lambda rows: rows[:, 0] * 2 if len(rows) > 1 else rows[:, 0], "disagrees"),
        (lambda rows: rows[:, 9], "index 9 is out of bounds"),
    ],
)
def test_a_program_that_differs_or_fails_is_never_used(program: Callable[[Any], Any], reason: str) -> None:
    reference = _Reference(program)
    verdict = compile_model(reference)
    assert reason in verdict.sentence
    assert verdict.sentence.startswith("not compiled: predict: ")
    assert not reference.quick


def test_a_slower_program_is_not_used() -> None:
    def program(rows: Any) -> Any:
        for _ in range(20_000):
            pass
        return rows[:, 0] * 2

    reference = _Reference(program, delay=0)
    assert "its program is not faster" in compile_model(reference).sentence
    assert not reference.quick


def test_a_model_that_refuses_usual_rows_keeps_its_own_checks() -> None:
    class Picky(_Reference):
        def predict(self, rows: Any) -> Any:
            if (rows < 0).any():
                raise ValueError("Negative values are refused.")
            return super().predict(rows)

    reference = Picky(lambda rows: rows[:, 0] + rows[:, 0])
    assert compile_model(reference).sentence == "not compiled: predict: Negative values are refused."
    assert not reference.quick


def test_subclasses_and_strangers_have_no_program() -> None:
    class Mine(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
        pass

    for estimator in (Mine().fit(_ROWS, _LABELS), object()):
        with pytest.raises(NotCompilable, match="there is no program for"):
            programs.build(estimator)


def test_a_class_that_was_changed_inside_is_refused_with_a_reason() -> None:
    estimator = LogisticRegression().fit(_ROWS, _LABELS)
    del estimator.coef_
    with pytest.raises(NotCompilable, match="LogisticRegression is not as expected: AttributeError"):
        programs.build(estimator)


def test_compiling_is_off_when_the_models_environment_says_so_or_memory_is_short() -> None:
    reference = _Reference(lambda rows: rows)
    assert Compiling.of(reference, {}, 1000).reference is reference
    assert Compiling.of(reference, {"SAGEBIRD_COMPILE": "off"}, 1000).reference is None
    assert Compiling.of(reference, {}, 0).reference is None
    assert Compiling.of(None, {}, 1000).reference is None
    refused = Compiling.of(reference, {}, 999)
    assert refused.run(None, None) is None
    assert "its programs would hold" in refused.describe("Model")


def test_what_is_known_of_the_same_files_is_not_checked_again() -> None:
    checked = _Reference(lambda rows: rows[:, 0] + rows[:, 0])
    first = Compiling.of(checked, {}, 1000)
    verdict = first.run(None, None)
    assert verdict is not None
    again = _Reference(lambda rows: rows[:, 0] + 7)  # not what was checked: shows that it was not
    second = Compiling.of(again, {}, 1000)
    assert second.run(None, verdict) is verdict
    assert again.quick["predict"](np.ones((1, 3))) == 8
    assert second.describe("Model") == "Model; compiled: predict"
    assert Compiling.of(again, {}, 1000).run(None, Verdict(reasons=("no",))) is not None


def test_a_served_model_answers_the_same_before_and_after() -> None:
    model = SklearnModel(RandomForestClassifier(20, random_state=0).fit(_ROWS, _LABELS))
    before = model.predict(_ROWS, _ACCEPT)
    assert compile_model(model, _ROWS[:3]).compiled == ("predict", "predict_proba")
    np.testing.assert_array_equal(model.predict(_ROWS, _ACCEPT), before)


def test_rows_are_taken_from_all_that_a_model_was_fitted_with_without_a_copy_of_it() -> None:
    data = np.random.default_rng(0).normal(loc=1000, size=(20_000, 6))
    data[::7, 2] = np.nan
    model = KNeighborsRegressor()
    model._fit_X = data
    tracemalloc.start()
    try:
        rows = probe_rows(model, 6, None)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < data.nbytes / 2
    assert np.isfinite(rows).all()
    assert np.isin(rows, data).mean() > 0.2


def test_probe_rows_hold_the_examples_and_stand_next_to_thresholds() -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(_ROWS, _LABELS)
    rows = probe_rows(forest, 6, _ROWS[:2])
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[:2], _ROWS[:2])
    thresholds = {
        float(value)
        for tree in forest.estimators_
        for value in tree.tree_.threshold[tree.tree_.children_left >= 0]
    }
    assert thresholds & set(rows.ravel().tolist())
    np.testing.assert_array_equal(rows, probe_rows(forest, 6, _ROWS[:2]))


def _sparse_weights() -> Any:
    return LogisticRegression().fit(_ROWS, _LABELS).sparsify()


def _with_empty_column() -> Any:
    rows = _ROWS.copy()
    rows[:, 2] = np.nan
    return rows


def _altered() -> Any:
    machine = SVC().fit(_ROWS, _LABELS)
    machine.support_vectors_ = machine.support_vectors_[1:]
    return machine


def _clipping() -> Any:
    scaler = MaxAbsScaler()
    scaler.clip = True  # which newer versions of scikit-learn have
    return scaler


_WITHOUT_PROGRAM: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse weights": (_sparse_weights, "the coefficients are sparse"),
    "many labels": (
        lambda: RidgeClassifier().fit(_ROWS, np.column_stack([_LABELS == 0, _LABELS == 1]).astype(int)),
        "the labels are many per row",
    ),
    "tree of two outputs": (
        lambda: DecisionTreeClassifier().fit(_ROWS, np.column_stack([_LABELS, _LABELS])),
        "it predicts several outputs",
    ),
    "forest of two outputs": (
        lambda: RandomForestClassifier(2).fit(_ROWS, np.column_stack([_LABELS, _LABELS])),
        "it predicts several outputs",
    ),
    "boosting from another": (
        lambda: GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()).fit(_ROWS, _LABELS),
        "it starts from another estimator's predictions",
    ),
    "categories that are words": (
        lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(
            np.column_stack([_LABELS.astype(str), _ROWS]).astype(object), _LABELS
        ),
        "it has columns of words",
    ),
    "categories that are huge": (
        lambda: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(
            np.column_stack([_LABELS * 1e300, _ROWS]), _LABELS
        ),
        "it has categories that float64 does not tell apart",
    ),
    "kernel of one's own": (
        lambda: SVC(kernel=lambda one, other: one @ other.T).fit(_ROWS, _LABELS),
        "its kernel is sparse, precomputed or a function",
    ),
    "ties": (
        lambda: SVC(break_ties=True, decision_function_shape="ovr").fit(_ROWS, _LABELS),
        "it breaks ties",
    ),
    "drawn answers": (
        lambda: DummyClassifier(strategy="stratified").fit(_ROWS, _LABELS),
        "it draws its answers, or has several outputs",
    ),
    "marked gaps": (
        lambda: make_pipeline(SimpleImputer(add_indicator=True), Ridge()).fit(_ROWS, _NUMBERS),
        "the SimpleImputer marks gaps, or looks for other than nan",
    ),
    "a function": (
        lambda: make_pipeline(FunctionTransformer(np.abs), Ridge()).fit(_ROWS, _NUMBERS),
        "the FunctionTransformer calls a function of the model's own",
    ),
    "weighted union": (
        lambda: make_pipeline(
            FeatureUnion([("a", StandardScaler())], transformer_weights={"a": 2.0}), Ridge()
        ).fit(_ROWS, _NUMBERS),
        "the FeatureUnion has weights",
    ),
    "altered support vectors": (_altered, "its support vectors were altered"),
    "clipping": (lambda: make_pipeline(_clipping(), Ridge()).fit(_ROWS, _NUMBERS), "the MaxAbsScaler clips"),
    "dropped columns": (
        lambda: make_pipeline(SimpleImputer(), Ridge()).fit(_with_empty_column(), _NUMBERS),
        "the SimpleImputer drops columns",
    ),
    "sparse columns": (
        lambda: make_pipeline(
            ColumnTransformer([("a", OneHotEncoder(), [0])], sparse_threshold=1.0), Ridge()
        ).fit(_ROWS, _NUMBERS),
        "the ColumnTransformer makes sparse columns",
    ),
    "rows beside answers": (
        lambda: StackingRegressor([("a", Ridge())], passthrough=True, cv=2).fit(_ROWS, _NUMBERS),
        "the stack passes its rows through",
    ),
    "parts that know not all classes": (
        lambda: BaggingClassifier(KNeighborsClassifier(1), 8, max_samples=2, random_state=0).fit(
            _ROWS, _LABELS
        ),
        "a part of the BaggingClassifier does not know all classes",
    ),
}


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("name", _WITHOUT_PROGRAM)
def test_what_no_program_stands_for_says_why(name: str) -> None:
    make, reason = _WITHOUT_PROGRAM[name]
    with pytest.raises(NotCompilable, match=re.escape(reason)):
        programs.build(make())


_OF_SEVERAL_FORMS: dict[str, Callable[[], Any]] = {
    "tree of two numbers": lambda: DecisionTreeRegressor(max_depth=4).fit(_ROWS, _ROWS[:, :2]),
    "forest of two numbers": lambda: RandomForestRegressor(3).fit(_ROWS, _ROWS[:, :2]),
    "constant": lambda: DummyRegressor().fit(_ROWS, _ROWS[:, :2]),
    "clipped": lambda: MinMaxScaler(clip=True).fit(_ROWS),
    "whitened": lambda: PCA(2, whiten=True).fit(_ROWS),
    "network of two numbers": lambda: MLPRegressor(hidden_layer_sizes=4, max_iter=5).fit(_ROWS, _ROWS[:, :2]),
    "network of two classes": lambda: MLPClassifier(4, max_iter=5).fit(_ROWS, _LABELS == 1),
    "soft vote": lambda: VotingClassifier(
        [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))], voting="soft"
    ).fit(_ROWS, _LABELS),
    "one column by name": lambda: ColumnTransformer([("a", StandardScaler(), slice(0, 1))]).fit(_ROWS),
    "one column by its number": lambda: ColumnTransformer([("a", StandardScaler(), [1])]).fit(_ROWS),
    "columns dropped and passed": lambda: ColumnTransformer(
        [("a", "drop", [0]), ("b", "passthrough", [1, 2]), ("c", StandardScaler(), [])]
    ).fit(_ROWS),
    "one step": lambda: make_pipeline(StandardScaler()).fit(_ROWS),
    "neither centred nor scaled": lambda: RobustScaler(with_centering=False, with_scaling=False).fit(_ROWS),
    "by mask": lambda: ColumnTransformer([("a", StandardScaler(), [True, False] * 3)]).fit(_ROWS),
}


@pytest.mark.filterwarnings("ignore:.*converge:Warning")
@pytest.mark.parametrize("name", _OF_SEVERAL_FORMS)
def test_programs_of_every_form_answer_what_the_estimator_answers(name: str) -> None:
    estimator = _OF_SEVERAL_FORMS[name]()
    found = programs.build(estimator)
    assert found
    for method, program in found.items():
        np.testing.assert_allclose(program(_ROWS), getattr(estimator, method)(_ROWS), rtol=1e-9)


def test_columns_are_found_by_their_names() -> None:
    frame = pd.DataFrame(_ROWS, columns=list("abcdef"))
    columns = ColumnTransformer([("a", StandardScaler(), ["c", "a"])]).fit(frame)

    found = programs.build(columns)["transform"](_ROWS)
    np.testing.assert_array_equal(found, columns.transform(frame))


def test_a_forest_answers_very_many_rows_as_it_does_a_few() -> None:
    forest = RandomForestRegressor(3, max_depth=3, random_state=0).fit(_ROWS, _NUMBERS)
    rows = np.resize(_ROWS, (20_000, _ROWS.shape[1]))

    np.testing.assert_array_equal(programs.build(forest)["predict"](rows), forest.predict(rows))


@pytest.mark.parametrize(
    "model",
    [
        RandomForestRegressor(400, max_depth=2, random_state=0),
        HistGradientBoostingRegressor(max_iter=400, max_leaf_nodes=3, random_state=0),
    ],
    ids=["forest", "boosting"],
)
def test_very_many_trees_answer_some_rows_in_parts(model: Any) -> None:
    model.fit(_ROWS[:80], _NUMBERS[:80])

    np.testing.assert_array_equal(programs.build(model)["predict"](_ROWS[:63]), model.predict(_ROWS[:63]))


def test_what_a_stack_would_lose_is_not_for_programs() -> None:
    several = np.asfortranarray(np.ones((4, 3, 2)))
    single = np.asfortranarray(np.ones((4, 1, 2)).repeat(2, axis=2))[..., ::2]

    with pytest.raises(NotForPrograms):
        stackable(several)
    with pytest.raises(NotForPrograms):
        only_single(several)
    assert stackable(single).flags.c_contiguous
    np.testing.assert_array_equal(stackable(single), single)
    for value in (np.nan, np.inf, 1e39):
        with pytest.raises(NotForPrograms):
            check_plain(np.array([[1.0, value]]))


def test_a_method_that_somebody_put_there_is_not_known_to_answer_row_by_row() -> None:
    tree = DecisionTreeClassifier(max_depth=2).fit(_ROWS, _LABELS)
    assert is_row_wise(make_pipeline(tree))
    tree.predict = lambda rows: rows.argsort(axis=0)[:, 0]
    assert not is_row_wise(make_pipeline(tree))
