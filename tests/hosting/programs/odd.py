"""Models that take texts, gaps and categories, and what they are asked: programs held against scikit-learn.

Run as a program it asks each for many answers, and fails where one differs by a bit:

    python tests/hosting/programs/odd.py --count 10000
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent.parent))

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from service.hosting.programs import table as programs
from service.hosting.programs.compiled import Quick, Verdict, compile_model
from service.hosting.programs.domain import Domain, domain_of, widened
from service.hosting.programs.probes import probe_rows
from service.hosting.programs.text_probes import probe_texts
from service.hosting.runtimes.sklearn import SklearnModel

FEATURES = 6
_WORDS = (
    *("the", "a", "very", "good", "bad", "film", "price", "order", "late", "thanks", "money", "never"),
    *("again", "best", "worst", "parcel", "broken", "colour", "shipping", "returned", "refund", "excellent"),
    *("quick", "terrible", "slow", "cheap", "dear", "old", "new", "Zürich", "naïve", "straße", "10", "2024"),
)
Case = tuple[Callable[[], Any], str]
"""How to make an estimator, and what it answers: the number of classes, or `numbers`."""


def _texts_and(count: int, answers: str, seed: int = 0) -> tuple[list[str], Any]:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(_WORDS, int(random.integers(1, 30)))) for _ in range(count)]
    if answers == "numbers":
        return texts, np.array([float(len(text)) for text in texts]) + random.normal(size=count)
    labels = np.array(["no", "yes", "may be", "later", "x"])[random.integers(0, int(answers), count)]
    return texts, labels


TEXTS: Mapping[str, Case] = MappingProxyType(
    {
        "tf-idf, logistic": (lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()), "2"),
        "tf-idf, logistic of three": (lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()), "3"),
        "counts, naive Bayes": (lambda: make_pipeline(CountVectorizer(), MultinomialNB()), "3"),
        "counts, tf-idf, SGD": (
            lambda: make_pipeline(CountVectorizer(), TfidfTransformer(), SGDClassifier(random_state=0)),
            "3",
        ),
        "pairs of words, vector machine": (
            lambda: make_pipeline(
                TfidfVectorizer(ngram_range=(1, 2), stop_words="english", sublinear_tf=True), LinearSVC()
            ),
            "2",
        ),
        "letters, ridge classifier": (
            lambda: make_pipeline(
                TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=300), RidgeClassifier()
            ),
            "5",
        ),
        "letters of all, complement": (
            lambda: make_pipeline(CountVectorizer(analyzer="char", ngram_range=(1, 2)), ComplementNB()),
            "3",
        ),
        "hashed, logistic": (
            lambda: make_pipeline(HashingVectorizer(n_features=2**10), LogisticRegression()),
            "2",
        ),
        "hashed without signs, sublinear, naive Bayes": (
            lambda: make_pipeline(
                HashingVectorizer(n_features=2**8, alternate_sign=False, norm=None),
                TfidfTransformer(sublinear_tf=True),
                MultinomialNB(),
            ),
            "3",
        ),
        "hashed presence, perceptron": (
            lambda: make_pipeline(
                HashingVectorizer(n_features=2**6, binary=True, norm="l1"), Perceptron(random_state=0)
            ),
            "3",
        ),
        "presence, Bernoulli": (
            lambda: make_pipeline(CountVectorizer(binary=True, strip_accents="unicode"), BernoulliNB()),
            "2",
        ),
        "no accents, no idf, l1": (
            lambda: make_pipeline(
                TfidfVectorizer(
                    strip_accents="ascii", use_idf=False, norm="l1", lowercase=False, min_df=2, max_df=0.9
                ),
                LogisticRegression(),
            ),
            "5",
        ),
        "tf-idf, ridge": (lambda: make_pipeline(TfidfVectorizer(norm=None), Ridge()), "numbers"),
        "counts, SGD of numbers": (
            lambda: make_pipeline(TfidfVectorizer(), SGDRegressor(random_state=0)),
            "numbers",
        ),
        "search": (
            lambda: GridSearchCV(
                make_pipeline(TfidfVectorizer(token_pattern=r"(?u)\b\w+\b"), LogisticRegression()),
                {"logisticregression__C": [0.1, 1.0]},
                cv=2,
            ),
            "2",
        ),
    }
)


def _rows_and(count: int, answers: str, categories: int = 0, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, FEATURES)) * 3
    for column in range(categories):
        rows[:, 2 * column + 1] = random.choice([-1.5, 0.0, 2.0, 7.0, 1e6, 3.25], count)
    right = rows[:, 0] + np.where(rows[:, 1] > 0, rows[:, 2], -rows[:, 3])
    rows[random.random(rows.shape) < 0.15] = np.nan
    if answers == "numbers":
        return rows, right
    edges = np.quantile(right, np.linspace(0, 1, int(answers) + 1)[1:-1])
    return rows, np.digitize(right, edges)


def _boosting(kind: Any, **options: Any) -> Callable[[], Any]:
    return lambda: kind(max_iter=20, random_state=0, early_stopping=False, **options)


TREES: Mapping[str, Case] = MappingProxyType(
    {
        "boosting of two": (_boosting(HistGradientBoostingClassifier), "2"),
        "boosting of four": (_boosting(HistGradientBoostingClassifier), "4"),
        "boosted numbers": (_boosting(HistGradientBoostingRegressor), "numbers"),
        "boosted Poisson": (_boosting(HistGradientBoostingRegressor, loss="poisson"), "2"),
        "boosting of two with categories": (
            _boosting(HistGradientBoostingClassifier, categorical_features=[1, 3]),
            "2",
        ),
        "boosting of four with categories": (
            _boosting(HistGradientBoostingClassifier, categorical_features=[1, 3]),
            "4",
        ),
        "boosted numbers with categories": (
            _boosting(HistGradientBoostingRegressor, categorical_features=[1]),
            "numbers",
        ),
        "tree": (lambda: DecisionTreeClassifier(random_state=0), "3"),
        "tree of numbers": (lambda: DecisionTreeRegressor(random_state=0), "numbers"),
        "forest": (lambda: RandomForestClassifier(15, random_state=0), "3"),
        "forest of numbers": (lambda: RandomForestRegressor(15, random_state=0), "numbers"),
        "extra trees": (lambda: ExtraTreesClassifier(15, random_state=0), "3"),
        "extra trees of numbers": (lambda: ExtraTreesRegressor(15, random_state=0), "numbers"),
    }
)


@cache
def fitted(name: str) -> Any:
    """The model of that name; not to be changed."""
    make, answers = {**TEXTS, **TREES}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in TEXTS:
            return make().fit(*_texts_and(200, answers))
        return make().fit(*_rows_and(400, answers, 2 if "categories" in name else 0))


def asked(name: str, count: int, seed: int) -> Iterator[Any]:
    """Lots of at most about 200 rows or texts that the model of that name is asked, `count` in sum."""
    model, given = fitted(name), 0
    while given < count:
        if name in TEXTS:
            some: Any = probe_texts(model, seed)[: count - given]
            yield some
        else:
            rows = probe_rows(model, FEATURES, None, seed)[: count - given]
            yield rows
            domain = Domain.GAPS if "boost" not in name or "categories" in name else Domain.ANY
            some = widened(rows, domain, seed)
            yield some
        given += len(some)
        seed += 1


@cache
def compiled(name: str) -> tuple[SklearnModel, Verdict]:
    """The model of that name as it is served once it is compiled."""
    model = SklearnModel(fitted(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model, compile_model(model)


def differing(name: str, count: int, seed: int) -> tuple[int, int, int]:
    """Answers that were compared, that differ from scikit-learn's by a bit, and that a program gave."""
    model, compared, differ, quick = fitted(name), 0, 0, 0
    for method, program in programs.build(model).items():
        answers = Quick(program, domain=domain_of(program))
        for given in asked(name, count, seed):
            right = getattr(model, method)(given)
            for start, size in _cuts(len(given), seed):
                some = given[start : start + size]
                found, expected = answers(some), right[start : start + size]
                compared += len(some)
                if found is not None:
                    quick += len(some)
                    differ += _count(expected, found)
    return compared, differ, quick


def _cuts(count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Requests of one, of some and of many."""
    random, at = np.random.default_rng(seed), 0
    while at < count:
        size = int(random.choice((1, 1, 2, 5, 40, 120)))
        yield at, size
        at += size


def _count(expected: Any, found: Any) -> int:
    if (expected.dtype, expected.shape) != (found.dtype, found.shape):
        return len(expected)
    return sum(one.tobytes() != other.tobytes() for one, other in zip(expected, found, strict=True))


def main() -> int:
    """Print a table; 1 if an answer differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("names", nargs="*", help="only these models")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    worst = 0
    sys.stdout.write(
        "| model | compiled | why not | answers | by programs | differing |\n" + "| --- " * 6 + "|\n"
    )
    with np.errstate(all="ignore"):
        for name in given.names or [*TEXTS, *TREES]:
            _, verdict = compiled(name)
            compared, differ, quick = differing(name, given.count, 1)
            worst += differ
            why = "; ".join(verdict.reasons)
            sys.stdout.write(
                f"| {name} | {', '.join(verdict.compiled)} | {why} | {compared} | {quick} | {differ} |\n"
            )
            sys.stdout.flush()
    return min(1, worst)


if __name__ == "__main__":
    sys.exit(main())
