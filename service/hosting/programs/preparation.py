"""What prepares rows for a model, as programs over blocks of columns: imputers, encoders, scalers, unions.

What a step makes of words it is asked itself, word by word, when the program is made. What it makes of
numbers is worked out by the expressions that scikit-learn uses. A class that is not in the table has no
program, and none has a subclass. Whether programs are right is checked in compiled, model by model.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs import rows as programs_rows
from service.hosting.programs.blocks import (
    Block,
    Blocks,
    NumberBlock,
    WordBlock,
    Words,
    choose,
    gapped,
    merged,
    then,
    together,
)
from service.hosting.programs.encoders import encode
from service.media.readers import Matrix

Prepare = Callable[[Any, Blocks, Words], Blocks]

_MOST_MARKS: Final = 64


def prepare(estimator: Any, blocks: Blocks, words: Words) -> Blocks:
    """What a fitted transformer makes of columns. Raises NotCompilable, which says why it has no program."""
    kind = type(estimator)
    step = _STEPS.get(kind.__name__)
    if step is None or kind.__module__.partition(".")[0] != "sklearn":
        raise NotCompilable(f"there is no program for {kind.__name__}")
    try:
        _mark(estimator, blocks, words)
        return step(estimator, blocks, words)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, ImportError) as error:
        # As in table.build: another version of scikit-learn may keep other things.
        raise NotCompilable(f"{kind.__name__} is not as expected: {type(error).__name__}: {error}") from error


def _mark(estimator: Any, blocks: Blocks, words: Words) -> None:
    """Tell of the numbers that it holds about columns that it has as they came."""
    at = 0
    for part in blocks.parts:
        for place, column in enumerate((part.picked or ()) if isinstance(part, NumberBlock) else ()):
            for held in vars(estimator).values():
                words.mark(column, _held_about(held, at + place, blocks.width)[:_MOST_MARKS])
        at += part.width


def _held_about(held: Any, place: int, width: int) -> list[float]:
    if isinstance(held, np.ndarray) and held.dtype.kind in "fiu" and held.shape[-1:] == (width,):
        found = np.asarray(held[..., place])
    elif isinstance(held, list) and len(held) == width and isinstance(held[place], np.ndarray):
        found = held[place]
    else:
        return []
    return [] if found.dtype.kind not in "fiu" else found[np.isfinite(found)].ravel().tolist()


def _numbers(numbers: NumberBlock, *, sparse: bool = False) -> Blocks:
    return Blocks((numbers,), sparse)


# ---- made of others


def _pipeline(estimator: Any, blocks: Blocks, words: Words) -> Blocks:
    for _, step in estimator.steps:
        if step is not None and not isinstance(step, str):
            blocks = prepare(step, blocks, words)
    return blocks


def _column_transformer(estimator: Any, blocks: Blocks, words: Words) -> Blocks:
    if estimator.transformer_weights:
        raise NotCompilable("the ColumnTransformer has weights")
    parts: list[Block] = []
    for name, step, _ in estimator.transformers_:
        places = list(estimator._transformer_to_input_indices[name])
        if not places or (isinstance(step, str) and step == "drop"):
            continue
        chosen = choose(blocks, places)
        parts += (chosen if isinstance(step, str) else prepare(step, chosen, words)).parts
    return Blocks(tuple(merged(parts)), bool(estimator.sparse_output_))


def _feature_union(estimator: Any, blocks: Blocks, words: Words) -> Blocks:
    if estimator.transformer_weights:
        raise NotCompilable("the FeatureUnion has weights")
    found = [
        blocks if isinstance(step, str) else prepare(step, blocks, words)
        for _, step in estimator.transformer_list
        if step != "drop"
    ]
    return Blocks(
        tuple(merged(part for each in found for part in each.parts)), any(each.sparse for each in found)
    )


# ---- gaps


def _imputer(estimator: Any, blocks: Blocks, words: Words) -> Blocks:
    missing = estimator.missing_values
    if missing is None or not isinstance(missing, float | int | str):
        raise NotCompilable("the SimpleImputer looks for a value that is neither a number nor a word")
    if _without_fill(estimator):
        raise NotCompilable("the SimpleImputer drops columns")
    if blocks.sparse:
        raise NotCompilable("the SimpleImputer takes a sparse matrix")
    parts: list[Block] = []
    at = 0
    for part in merged(blocks.parts):
        fills = estimator.statistics_[at : at + part.width].astype(estimator._fill_dtype)
        if isinstance(part, WordBlock):
            parts.append(_fill_words(part, fills[0], missing, words))
        else:
            parts.append(_fill_numbers(part, fills.astype(np.float64), missing))
        at += part.width
    if estimator.add_indicator:
        parts.append(_indicator(estimator, blocks, missing))
    return Blocks(tuple(merged(parts)))


def _without_fill(estimator: Any) -> bool:
    lacking = [fill is None or fill != fill for fill in estimator.statistics_]
    return any(lacking) and not estimator.keep_empty_features


def _is_gap(value: Any, missing: Any) -> bool:
    return bool(value != value) if missing != missing else value == missing


def _fill_words(part: WordBlock, fill: Any, missing: Any, words: Words) -> WordBlock:
    if isinstance(missing, str):
        words.know(part.column, [missing])
    for code, value in enumerate(part.values):
        if value != value and missing == missing:  # it refuses nan, if it does not look for it
            words.refuse(part.column, code)
    return WordBlock(part.column, tuple(fill if _is_gap(value, missing) else value for value in part.values))


def _fill_numbers(part: NumberBlock, fills: Matrix, missing: Any) -> NumberBlock:
    if isinstance(missing, str):
        raise NotCompilable("the SimpleImputer looks for a word among numbers")
    if missing != missing:

        def fill(rows: Any) -> Any:
            return np.where(np.isnan(rows), fills, rows)

        found = then(part, fill, part.width, gaps=True, by_cell=True)
        return NumberBlock(found.step, found.width, bool(np.isnan(fills).any()), by_row=found.by_row)
    return then(
        part, lambda rows: np.where(rows == missing, fills, rows), part.width, gaps=False, by_cell=True
    )


def _indicator(estimator: Any, blocks: Blocks, missing: Any) -> NumberBlock:
    """Which of the cells were gaps, as columns of their own behind the filled ones."""
    features = estimator.indicator_.features_
    if isinstance(missing, str) or missing == missing:
        raise NotCompilable("the SimpleImputer marks gaps that are not nan")
    numbers = together(blocks)  # marks beside words are objects, of which an encoder makes categories
    first, width = numbers.step, len(features)
    return NumberBlock(
        lambda rows: np.isnan(first(rows)[..., features]).astype(np.float64), width, by_row=numbers.by_row
    )


# ---- numbers


def _scaler(estimator: Any, blocks: Blocks, _words: Words) -> Blocks:
    numbers = together(blocks)
    name = type(estimator).__name__
    step = programs_rows.BUILDERS[name](estimator)["transform"]
    if blocks.sparse and estimator.scale_ is not None:  # such are multiplied, not divided
        factors = 1.0 / estimator.scale_

        def step(rows: Any) -> Any:
            return rows * factors

    return _numbers(then(numbers, step, numbers.width, gaps=True, by_cell=True), sparse=blocks.sparse)


def _array(estimator: Any, blocks: Blocks, _words: Words) -> Blocks:
    """Those whose programs are made for whole rows; they refuse nan."""
    if blocks.sparse:
        raise NotCompilable(f"the {type(estimator).__name__} takes a sparse matrix")
    step = programs_rows.BUILDERS[type(estimator).__name__](estimator)["transform"]
    numbers = together(blocks)
    width = step(np.ones((1, numbers.width))).shape[-1]
    return _numbers(then(numbers, step, width, gaps=False))


_UFUNCS: Final = frozenset(
    {"log", "log1p", "log2", "log10", "exp", "exp2", "expm1", "sqrt", "cbrt", "sin", "cos", "tan"}
    | {"sinh", "cosh", "tanh", "arcsinh", "arctan"}
)
"""Functions of numpy that make a float of any number, by itself."""


def _function(estimator: Any, blocks: Blocks, _words: Words) -> Blocks:
    function = estimator.func
    if function is None and not estimator.validate:
        return blocks
    name = getattr(function, "__name__", "")
    if function is not None and (name not in _UFUNCS or function is not getattr(np, name)):
        raise NotCompilable("the FunctionTransformer calls a function of the model's own")
    if estimator.kw_args or blocks.sparse:
        raise NotCompilable("the FunctionTransformer has arguments, or takes a sparse matrix")
    numbers = together(blocks)
    gaps = not estimator.validate
    if function is None:
        return _numbers(then(numbers, lambda rows: rows, numbers.width, gaps=gaps, by_cell=True))
    found = then(numbers, lambda rows: gapped(function(rows)), numbers.width, gaps=gaps)
    return _numbers(NumberBlock(found.step, found.width, gaps=True, by_row=found.by_row))


def _bins(estimator: Any, blocks: Blocks, _words: Words) -> Blocks:
    if estimator.dtype not in (None, np.float64) or blocks.sparse:
        raise NotCompilable("the KBinsDiscretizer makes other numbers than float64, or takes a sparse matrix")
    numbers = together(blocks)
    inner = [edges[1:-1] for edges in estimator.bin_edges_]
    tables = [np.eye(len(edges) - 1) for edges in estimator.bin_edges_]
    ordinal = estimator.encode == "ordinal"

    def step(rows: Any) -> Any:
        places = [np.searchsorted(edges, rows[..., at], side="right") for at, edges in enumerate(inner)]
        if ordinal:
            return np.stack(places, axis=-1).astype(np.float64)
        return np.concatenate(
            [table.take(each, axis=0) for table, each in zip(tables, places, strict=True)], axis=-1
        )

    width = numbers.width if ordinal else sum(len(table) for table in tables)
    found = then(numbers, step, width, gaps=False, by_cell=True)
    return _numbers(found, sparse=estimator.encode == "onehot")


def _polynomial(estimator: Any, blocks: Blocks, _words: Words) -> Blocks:
    """Each product is made of one that is there already and one more column, as scikit-learn makes it."""
    if blocks.sparse:
        raise NotCompilable("the PolynomialFeatures takes a sparse matrix")
    numbers = together(blocks)
    given = {
        "n_features": numbers.width,
        "max_degree": estimator._max_degree,
        "interaction_only": estimator.interaction_only,
        "include_bias": estimator.include_bias,
    }
    every = list(estimator._combinations(min_degree=0, **given))
    wanted = list(estimator._combinations(min_degree=estimator._min_degree, **given))
    places = {each: at for at, each in enumerate(every)}
    degrees: list[tuple[slice, list[int], list[int]]] = []
    for degree in range(2, estimator._max_degree + 1):
        these = [each for each in every if len(each) == degree]
        if these:
            start = places[these[0]]
            more, before = [each[0] for each in these], [places[each[1:]] for each in these]
            degrees.append((slice(start, start + len(these)), before, more))
    first = 1 if estimator.include_bias else 0
    kept = None if wanted == every else [places[each] for each in wanted]

    def step(rows: Any) -> Any:
        found = np.empty((*rows.shape[:-1], len(every)))
        if first:
            found[..., 0] = 1.0
        found[..., first : first + rows.shape[-1]] = rows
        for these, before, more in degrees:
            found[..., these] = found[..., before] * rows[..., more]
        return found if kept is None else found[..., kept]

    return _numbers(then(numbers, step, len(wanted), gaps=False, by_cell=True))


_STEPS: Final[Mapping[str, Prepare]] = MappingProxyType(
    {
        "Pipeline": _pipeline,
        "ColumnTransformer": _column_transformer,
        "FeatureUnion": _feature_union,
        "SimpleImputer": _imputer,
        **dict.fromkeys(("OneHotEncoder", "OrdinalEncoder", "TargetEncoder"), encode),
        **dict.fromkeys(("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"), _scaler),
        "FunctionTransformer": _function,
        "KBinsDiscretizer": _bins,
        "PolynomialFeatures": _polynomial,
        **dict.fromkeys(("PCA", "IncrementalPCA", "TruncatedSVD", *programs_rows.SELECTORS), _array),
    }
)
