"""What a fitted estimator's columns hold: numbers, words, texts or truth values, as far as its steps tell.

An encoder keeps the values that it saw, an imputer the type of its column, a vectorizer takes texts, and what
else scikit-learn has takes numbers. Nothing is assumed of other classes. Steps are known by their names, so
that nothing is imported for models that have none of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final

import numpy as np


class DType(Enum):
    """What a column holds."""

    ANY = auto()  # nobody knows
    UNUSED = auto()
    NUMBER = auto()
    WORD = auto()
    TEXT = auto()
    TRUTH = auto()


@dataclass(frozen=True, slots=True)
class FittedColumn:
    """One column. `known` are the values that an encoder saw; `strict`: it refuses all others.

    `gaps`: a cell without a value is one that it knows, or one that an imputer fills.
    """

    kind: DType
    known: frozenset[Any] = frozenset()
    strict: bool = False
    gaps: bool = False


ANY: Final = FittedColumn(DType.ANY)
_UNUSED: Final = FittedColumn(DType.UNUSED)
_NUMBER: Final = FittedColumn(DType.NUMBER)
_TEXT: Final = FittedColumn(DType.TEXT)

_ENCODERS: Final = frozenset({"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"})
_VECTORIZERS: Final = frozenset(
    {"CountVectorizer", "HashingVectorizer"}
)  # TfidfVectorizer is a CountVectorizer
_INNER: Final = (
    "best_estimator_",
    "estimator_",
    "regressor_",
    "estimators_",
    "calibrated_classifiers_",
    "estimator",
)
_MOST_INNER: Final = 8


def columns_of(estimator: Any, count: int) -> tuple[FittedColumn, ...]:
    """What each of the `count` columns holds that an estimator was fitted with."""
    return tuple(_columns(estimator, count, ANY))


def takes_texts(estimator: Any) -> bool:
    """Whether it was fitted with a list of texts, each an input of its own."""
    names = _names(estimator)
    if names & _VECTORIZERS:
        return True
    if "Pipeline" in names:
        return any(map(takes_texts, _deciding(estimator)))
    if "FeatureUnion" in names:
        return any(takes_texts(step) for _, step in estimator.transformer_list)
    return any(map(takes_texts, _inner(estimator)))


def takes_records(estimator: Any) -> bool:
    """Whether it was fitted with records (dicts) of any names."""
    names = _names(estimator)
    if "Pipeline" in names:
        return any(map(takes_records, _deciding(estimator)))
    if "FeatureHasher" in names:
        return bool(estimator.input_type == "dict")
    return "DictVectorizer" in names or any(map(takes_records, _inner(estimator)))


def _columns(estimator: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    """`otherwise` is what becomes of columns that the estimator passes on."""
    names = _names(estimator)
    reader = next((reader for name, reader in _READERS.items() if name in names), _of_other)
    return reader(estimator, count, otherwise)


def _of_other(estimator: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    inner = list(_inner(estimator))
    if inner:
        return _joined((_columns(each, count, otherwise) for each in inner), count)
    if not _is_scikit(estimator):
        return [ANY] * count
    preprocessor = getattr(estimator, "_preprocessor", None)  # of gradient boosting with categories
    if preprocessor is not None:
        return _columns(preprocessor, count, _NUMBER)
    return [_default(estimator)] * count


def _of_function(transformer: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    return [otherwise if _passes_on(transformer) else ANY] * count


def _of_vectorizer(_vectorizer: Any, count: int, _otherwise: FittedColumn) -> list[FittedColumn]:
    return [_TEXT] * count


def _of_union(union: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    return _joined((_columns(step, count, otherwise) for _, step in union.transformer_list), count)


def _of_encoder(encoder: Any, count: int, _otherwise: FittedColumn) -> list[FittedColumn]:
    strict = getattr(encoder, "handle_unknown", "error") == "error" and "TargetEncoder" not in _names(encoder)
    found = [_of_values(values, strict) for values in getattr(encoder, "categories_", ())]
    return found if len(found) == count else [ANY] * count


def _of_values(values: Any, strict: bool) -> FittedColumn:
    kind = np.asarray(values).dtype.kind
    if kind == "b":
        return FittedColumn(DType.TRUTH)
    if kind in "iuf":
        return _NUMBER
    known = frozenset(value for value in values if value == value)
    return FittedColumn(DType.WORD, known, strict, len(known) < len(values))


def _of_imputer(imputer: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    if getattr(imputer, "_fit_dtype", np.dtype(float)).kind in "biuf":
        return [_NUMBER] * count
    fills = list(getattr(imputer, "statistics_", ()))
    if len(fills) != count or otherwise.kind not in (DType.ANY, DType.WORD):
        return [ANY] * count
    return [FittedColumn(DType.WORD, gaps=True) if isinstance(fill, str) else _NUMBER for fill in fills]


def _of_pipeline(pipeline: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    """As the first step says, and, where that leaves columns in their places, the next."""
    steps = [step for _, step in pipeline.steps if step is not None and not isinstance(step, str)]
    found = [_UNUSED] * count
    for place, step in enumerate(steps):
        behind = _default(steps[place + 1]) if place + 1 < len(steps) else otherwise
        said = _columns(step, count, behind)
        found = [_met(first, second) for first, second in zip(found, said, strict=True)]
        if not _keeps_places(step):
            break
    return found


def _of_transformer(transformer: Any, count: int, otherwise: FittedColumn) -> list[FittedColumn]:
    places = getattr(transformer, "_transformer_to_input_indices", None)
    if places is None:
        return [ANY] * count
    found = [_UNUSED] * count
    for name, step, _ in transformer.transformers_:
        at = [place for place in places.get(name, ()) if place < count]
        if isinstance(step, str):
            said = [otherwise if step == "passthrough" else _UNUSED] * len(at)
        else:
            said = _columns(step, len(at), otherwise)
        for place, column in zip(at, said, strict=True):
            found[place] = _met(found[place], column)
    return found


def _joined(parts: Iterable[Sequence[FittedColumn]], count: int) -> list[FittedColumn]:
    found = [_UNUSED] * count
    for part in parts:
        found = [_met(first, second) for first, second in zip(found, part, strict=True)]
    return found


def _met(first: FittedColumn, second: FittedColumn) -> FittedColumn:
    """What a column holds of which two steps say something."""
    for kind in (DType.UNUSED, DType.ANY):  # what the other one says is more
        if kind in (first.kind, second.kind):
            return second if first.kind is kind else first
    if first.kind is not second.kind:
        return FittedColumn(DType.WORD) if {first.kind, second.kind} == {DType.WORD, DType.TEXT} else ANY
    gaps = first.gaps or second.gaps
    if first.known and second.known:
        strict = first.strict or second.strict
        return replace(first, known=first.known | second.known, strict=strict, gaps=gaps)
    return replace(first if first.known else second, gaps=gaps)


def _default(estimator: Any) -> FittedColumn:
    """What any column holds that is given to an estimator of which only the class is known."""
    names = _names(estimator)
    if names & _ENCODERS or names & {"Pipeline", "ColumnTransformer", "FeatureUnion", "SimpleImputer"}:
        return ANY
    if not _is_scikit(estimator) or _passes_on(estimator):
        return ANY
    told = getattr(estimator, "__sklearn_tags__", None)
    if told is None:
        return _NUMBER
    tags = told()
    if tags.no_validation or tags.input_tags.string or tags.input_tags.categorical:
        return ANY
    if next(_inner(estimator), None) is not None:
        return ANY
    return _NUMBER


def _deciding(pipeline: Any) -> Iterator[Any]:
    """The first step that does not pass on what it is given, and any functions before it."""
    for _, step in pipeline.steps:
        if step is None or isinstance(step, str):
            continue
        yield step
        if "FunctionTransformer" not in _names(step):
            return


def _passes_on(estimator: Any) -> bool:
    if "FunctionTransformer" not in _names(estimator):
        return False
    return estimator.func is None


def _keeps_places(step: Any) -> bool:
    if _passes_on(step):
        return True
    if "SimpleImputer" not in _names(step) or step.add_indicator:
        return False
    return bool(step.keep_empty_features) or not any(fill != fill for fill in step.statistics_)


def _inner(estimator: Any) -> Iterator[Any]:
    """The fitted estimators that one of scikit-learn's hands its input on to."""
    if not _is_scikit(estimator):
        return
    for name in _INNER:
        found = vars(estimator).get(name) if hasattr(estimator, "__dict__") else None
        if found is not None and name != "estimators_":
            found = found if isinstance(found, list) else [found]
        if isinstance(found, list):
            yield from (each for each in found[:_MOST_INNER] if _is_estimator(each))
            return


def _is_estimator(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("predict", "predict_proba", "transform"))


def _is_scikit(estimator: Any) -> bool:
    return type(estimator).__module__.partition(".")[0] == "sklearn"


def _names(estimator: Any) -> set[str]:
    """The names of its classes that are scikit-learn's own."""
    return {each.__name__ for each in type(estimator).__mro__ if each.__module__.startswith("sklearn.")}


_READERS: Final[Mapping[str, Callable[[Any, int, FittedColumn], list[FittedColumn]]]] = MappingProxyType(
    {
        **dict.fromkeys(_ENCODERS, _of_encoder),
        **dict.fromkeys(_VECTORIZERS, _of_vectorizer),
        "SimpleImputer": _of_imputer,
        "Pipeline": _of_pipeline,
        "ColumnTransformer": _of_transformer,
        "FeatureUnion": _of_union,
        "FunctionTransformer": _of_function,
    }
)
"""By the class of scikit-learn that says something of its columns; all others by `_of_other`."""
