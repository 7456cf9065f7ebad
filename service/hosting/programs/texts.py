"""Programs of models that take texts: words counted, weighed, and summed up by a linear model or naive Bayes.

Texts are cut by scikit-learn's own analyzer, made once and not for each call. Counts are compressed rows, as
scipy has them, put in order and multiplied by scipy's own C code, so that sums are added up in its order. No
answer depends on the texts beside it: each row is summed up by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.programs.continuous import bayes
from service.hosting.programs.domain import Domain
from service.hosting.programs.linear import HEADS
from service.hosting.programs.program import Methods, taking

_VECTORIZERS = frozenset({"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"})
_OF_ONES_OWN = ("preprocessor", "tokenizer")  # functions, where they are given
_ANALYZERS = frozenset({"word", "char", "char_wb"})
_COUNTED = (np.dtype(np.float64), np.dtype(np.int64))
_FLOAT64 = np.dtype(np.float64)
_WORD_BYTES = 128  # of a vocabulary's entry, about


@dataclass(slots=True)
class TextRows:
    """Counts or weights of texts, as scipy's compressed rows have them: in order, each place once."""

    data: Any
    indices: Any
    indptr: Any
    shape: tuple[int, int]


Counting = Callable[[Sequence[str]], TextRows]
Weighing = Callable[[TextRows], None]


def is_vectorizer(step: Any) -> bool:
    """Whether it is one of scikit-learn's that takes texts."""
    kind = type(step)
    return kind.__name__ in _VECTORIZERS and kind.__module__.partition(".")[0] == "sklearn"


def build(steps: Sequence[Any]) -> Methods:
    """Programs of a pipeline that begins with a vectorizer. Raises NotCompilable."""
    if len(steps) == 1:
        raise NotCompilable("it answers with a sparse matrix")
    vectorizer, *between, last = steps
    count, width = _counting(vectorizer)
    weighings = [*_own_weighings(vectorizer), *(_weighing(step, width) for step in between)]

    def rows_of(texts: Any) -> TextRows:
        try:
            rows = count(texts)
        except UnicodeError:  # half a character
            raise NotForPrograms from None
        for weigh in weighings:
            weigh(rows)
        return rows

    return taking(Domain.TEXTS, {name: _behind(rows_of, step) for name, step in _last(last, width).items()})


def _behind(rows_of: Callable[[Any], TextRows], step: Step) -> Step:
    return lambda texts: step(rows_of(texts))


def size_bytes(steps: Sequence[Any]) -> int:
    """Memory that the programs hold besides the pipeline's own."""
    places = getattr(steps[0], "vocabulary_", {})
    weights = [getattr(steps[-1], name, None) for name in ("coef_", "feature_log_prob_")]
    held = sum(each.nbytes for each in weights if isinstance(each, np.ndarray) and len(each) > 1)
    return held + (0 if _has_plain_places(places) else _WORD_BYTES * len(places))


# ---- texts to counts


def _counting(vectorizer: Any) -> tuple[Counting, int]:
    """What counts words, and how many columns it counts them in."""
    _check_analyzer(vectorizer)
    if np.dtype(vectorizer.dtype) not in _COUNTED:
        raise NotCompilable(f"the {type(vectorizer).__name__} counts in {np.dtype(vectorizer.dtype)}")
    if _hashes(vectorizer):
        return _hashing(vectorizer), int(vectorizer.n_features)
    return _of_vocabulary(vectorizer), len(vectorizer.vocabulary_)


def _hashes(vectorizer: Any) -> bool:
    return type(vectorizer).__name__ == "HashingVectorizer"


def _check_analyzer(vectorizer: Any) -> None:
    own = [name for name in _OF_ONES_OWN if getattr(vectorizer, name) is not None]
    known = isinstance(vectorizer.analyzer, str) and vectorizer.analyzer in _ANALYZERS
    if own or not known or callable(vectorizer.strip_accents):
        raise NotCompilable(f"the {type(vectorizer).__name__} calls functions of the model's own")
    if vectorizer.input != "content":
        raise NotCompilable(f"the {type(vectorizer).__name__} reads files")


def _of_vocabulary(vectorizer: Any) -> Counting:
    vocabulary = vectorizer.vocabulary_
    if type(vocabulary) is not dict or not _has_plain_places(vocabulary):
        vocabulary = {word: int(place) for word, place in vocabulary.items()}
    analyze, place_of, width = vectorizer.build_analyzer(), vocabulary.get, len(vocabulary)
    if vocabulary and not 0 <= min(vocabulary.values()) <= max(vocabulary.values()) < width:
        raise NotCompilable("its vocabulary has places that it has no columns for")

    def count(texts: Sequence[str]) -> TextRows:
        places: list[int] = []
        ends = [0]
        for text in texts:
            places += [place for place in map(place_of, analyze(text)) if place is not None]
            ends.append(len(places))
        return _in_order(np.ones(len(places)), np.array(places, np.int32), np.array(ends, np.int32), width)

    return count


def _has_plain_places(vocabulary: Mapping[str, Any]) -> bool:
    """Whether all places are Python's own numbers, which are found and counted faster than numpy's."""
    return {int}.issuperset(map(type, vocabulary.values()))


def _hashing(vectorizer: Any) -> Counting:
    from sklearn.feature_extraction._hashing_fast import transform

    analyze, width, signed = vectorizer.build_analyzer(), vectorizer.n_features, vectorizer.alternate_sign

    def count(texts: Sequence[str]) -> TextRows:
        words = [[(word, 1) for word in analyze(text)] for text in texts]
        places, ends, values = transform(words, width, _FLOAT64, signed, seed=0)
        return _in_order(values, places, ends, width)

    return count


def _in_order(values: Any, places: Any, ends: Any, width: int) -> TextRows:
    """Each place of a text once, with the sum of its values, in order."""
    from scipy.sparse import _sparsetools as tools

    count = len(ends) - 1
    tools.csr_sort_indices(count, ends, places, values)
    tools.csr_sum_duplicates(count, width, ends, places, values)
    held = ends[-1]
    return TextRows(values[:held], places[:held], ends, (count, width))


# ---- counts to weights


def _own_weighings(vectorizer: Any) -> list[Weighing]:
    """What a vectorizer itself makes of its counts."""
    found: list[Weighing] = [_mark] if vectorizer.binary else []
    if _hashes(vectorizer):
        found.append(_normalizing(vectorizer.norm))
    elif type(vectorizer).__name__ == "TfidfVectorizer":
        found.append(_weighing(vectorizer._tfidf, len(vectorizer.vocabulary_)))
    return found


def _mark(rows: TextRows) -> None:
    """How often a word is there does not count."""
    rows.data.fill(1)


def _weighing(step: Any, width: int) -> Weighing:
    if type(step).__name__ != "TfidfTransformer" or not type(step).__module__.startswith("sklearn."):
        raise NotCompilable(f"there is no program for {type(step).__name__} behind texts")
    # Without use_idf there is none.
    rarity = step.idf_ if hasattr(step, "idf_") else None
    if rarity is not None and (rarity.dtype != _FLOAT64 or not np.isfinite(rarity).all()):
        raise NotCompilable("the TfidfTransformer holds weights that are not finite, or in float32")
    if rarity is not None and rarity.shape != (width,):
        raise NotCompilable("the TfidfTransformer has other columns than are counted")
    sublinear, normalize = step.sublinear_tf, _normalizing(step.norm)

    def weigh(rows: TextRows) -> None:
        if sublinear:
            np.log(rows.data, rows.data)
            rows.data += 1.0
            if not np.isfinite(rows.data).all():
                raise NotForPrograms  # of hashed words, which may take each other away
        if rarity is not None:
            rows.data *= rarity[rows.indices]
        normalize(rows)

    return weigh


def _normalizing(norm: str | None) -> Weighing:
    from sklearn.utils.sparsefuncs_fast import inplace_csr_row_normalize_l1, inplace_csr_row_normalize_l2

    known: dict[str | None, Weighing] = {
        None: lambda rows: None,
        "l1": inplace_csr_row_normalize_l1,
        "l2": inplace_csr_row_normalize_l2,
    }
    if norm not in known:
        raise NotCompilable(f"texts are normalized by {norm}")
    return known[norm]


# ---- weights to answers


def _last(estimator: Any, width: int) -> Methods:
    name = type(estimator).__name__
    if not type(estimator).__module__.startswith("sklearn.") or name not in {*HEADS, *_BAYES}:
        raise NotCompilable(f"there is no program for {name} behind texts")
    if name in _BAYES:
        return _BAYES[name](estimator, width)
    return HEADS[name](estimator, _sum_of(_product(estimator.coef_, width), estimator.intercept_))


def _product(weights: Any, width: int) -> Callable[[TextRows], Any]:
    """Rows multiplied with weights (answers, columns) or (columns), as scipy does it."""
    from scipy.sparse import _sparsetools as tools

    if not isinstance(weights, np.ndarray) or weights.dtype != _FLOAT64 or not np.isfinite(weights).all():
        raise NotCompilable("the weights are sparse, not finite, or in float32")
    if weights.shape[-1] != width:
        raise NotCompilable("there are other columns than weights")
    if weights.ndim == 1 or len(weights) == 1:
        vector = np.ascontiguousarray(weights.ravel())

        def single(rows: TextRows) -> Any:
            found = np.zeros(rows.shape[0])
            tools.csr_matvec(*rows.shape, rows.indptr, rows.indices, rows.data, vector, found)
            return found if weights.ndim == 1 else found[:, np.newaxis]

        return single
    flat, answers = np.ascontiguousarray(weights.T).ravel(), len(weights)

    def several(rows: TextRows) -> Any:
        found = np.zeros((rows.shape[0], answers))
        tools.csr_matvecs(*rows.shape, answers, rows.indptr, rows.indices, rows.data, flat, found.reshape(-1))
        return found

    return several


def _sum_of(product: Callable[[TextRows], Any], offset: Any) -> Callable[[TextRows], Any]:
    def scores(rows: TextRows) -> Any:
        found = product(rows)
        found += offset
        return found

    return scores


def _multinomial(estimator: Any, width: int) -> Methods:
    product = _product(estimator.feature_log_prob_, width)
    return bayes(_sum_of(product, estimator.class_log_prior_), estimator)


def _complement(estimator: Any, width: int) -> Methods:
    if len(estimator.classes_) == 1:
        raise NotCompilable("it knows a single class")
    return bayes(_product(estimator.feature_log_prob_, width), estimator)


def _bernoulli(estimator: Any, width: int) -> Methods:
    logs, threshold = estimator.feature_log_prob_, estimator.binarize
    if threshold is not None and threshold < 0:
        raise NotCompilable("words that are not there would count")
    absent = np.log(1 - np.exp(logs))
    joint = _sum_of(_product(logs - absent, width), estimator.class_log_prior_ + absent.sum(axis=1))

    def there(rows: TextRows) -> Any:
        if threshold is not None:
            rows.data = (rows.data > threshold).astype(np.float64)
        return joint(rows)

    return bayes(there, estimator)


_BAYES: Mapping[str, Callable[[Any, int], Methods]] = MappingProxyType(
    {"MultinomialNB": _multinomial, "ComplementNB": _complement, "BernoulliNB": _bernoulli}
)
