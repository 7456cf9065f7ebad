"""Text files that LightGBM wrote, read without it: what they say to rows, as its container would say it."""

import ctypes
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.lightgbm_trees import Arrays, Scores, read_scores
from service.hosting.programs.probes import rows_beside
from service.hosting.runtimes.file_programs import FORMS, FileProgram, Predict
from service.hosting.runtimes.number_json import NotJson, read_number_json

_ARRAYS: Final = frozenset(
    {
        *(b"leaf_value", b"left_child", b"right_child", b"split_feature", b"threshold", b"decision_type"),
        *(b"cat_boundaries", b"cat_threshold"),
    }
)
_NAMES: Final = _ARRAYS | {
    *(b"average_output", b"feature_names", b"is_linear", b"max_feature_idx", b"num_tree_per_iteration"),
    b"objective",
}
_TREE: Final = b"Tree="
_END: Final = b"end of trees"
_NOT_WORDS: Final = (b"", b"null", b"[]")


def read_booster(file: Path, most_file_bytes: int, most_bytes: int) -> FileProgram:
    """What the container makes of a file that `Booster.save_model` wrote. Raises NotCompilable, OSError."""
    with file.open("rb") as opened:
        data = opened.read(most_file_bytes + 1)
    if len(data) > most_file_bytes:
        raise NotCompilable("its file has grown")
    blocks = _blocks(data)
    told = next(blocks)
    _check(told, data)
    features, groups = _number(told, b"max_feature_idx") + 1, _number(told, b"num_tree_per_iteration")
    scores, thresholds = read_scores(map(_arrays, blocks), features, groups, most_bytes)
    rows = rows_beside(thresholds, features, np.float64)
    return FileProgram(_predict(scores, told.get(b"objective", b"").decode("latin-1")), features, rows, FORMS)


def _blocks(data: bytes) -> Iterator[Mapping[bytes, bytes]]:
    """What is said before the first tree, and of each tree: values by their names, of those that matter."""
    told: dict[bytes, bytes] = {}
    start, end = 0, data.find(_END)
    if end < 0:
        raise NotCompilable("its trees have no end")
    while start < end:
        stop = data.find(b"\n", start, end)
        line = data[start : end if stop < 0 else stop]
        if line.startswith(_TREE):
            yield told
            told = {}
        name, _, value = line.partition(b"=")
        if name in _NAMES:
            told[name] = value
        start += len(line) + 1
    yield told


def _check(told: Mapping[bytes, bytes], data: bytes) -> None:
    """See that it is a model of which the trees are all. Raises NotCompilable."""
    if b"average_output" in told:
        raise NotCompilable("its answers are means of its trees")
    _, _, words = data.rpartition(b"\npandas_categorical:")
    if words.strip() not in _NOT_WORDS and words != data:
        raise NotCompilable("its categories are words")
    if any(map(_is_number, told.get(b"feature_names", b"").split())):
        raise NotCompilable("a row of numbers might be its header")


def _is_number(name: bytes) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _number(told: Mapping[bytes, bytes], name: bytes) -> int:
    value = told.get(name, b"")
    if not value.isdigit() or len(value) > 9:
        raise NotCompilable(f"its {name.decode()} is no number")
    return int(value)


def _arrays(tree: Mapping[bytes, bytes]) -> Arrays:
    if tree.get(b"is_linear", b"0") != b"0":
        raise NotCompilable("its leaves are linear models")
    found = {}
    for name in _ARRAYS.intersection(tree):
        try:
            found[name.decode()] = read_number_json(b"[%b]" % tree[name].strip().replace(b" ", b","))
        except NotJson as error:
            raise NotCompilable(f"the {name.decode()} of a tree are no numbers") from error
    return found


def _predict(scores: Scores, objective: str) -> Predict:
    """What `predict` says. Raises NotCompilable."""
    name, *more = objective.split() or [""]
    answer = _ANSWERS.get(name)
    settings = dict(part.partition(":")[::2] for part in more)
    if answer is None or settings.keys() - {"sigmoid", "num_class"}:
        raise NotCompilable(f"there is no program for {objective}")
    steepness = float(settings.get("sigmoid", 1))
    return partial(_answer, scores, answer, steepness)


def _answer(scores: Scores, answer: Callable[[Any, float], Any], steepness: float, rows: Any) -> Any:
    found = answer(scores(rows), steepness)
    return found[:, 0] if found.shape[1] == 1 else found


def _sigmoid(scores: Any, steepness: float) -> Any:
    return 1.0 / (1.0 + _exp(-steepness * scores))


def _softmax(scores: Any, _steepness: float) -> Any:
    raised = _exp(scores - scores.max(axis=1, keepdims=True))
    return raised / np.add.accumulate(raised, axis=1)[:, -1:]


def _exp(values: Any) -> Any:
    """By the C library, of which numpy's own differs in the last bit."""
    found = np.fromiter(map(_c_exp(), values.ravel().tolist()), np.float64, values.size)
    return found.reshape(values.shape)


@cache
def _c_exp() -> Callable[[float], float]:
    function = ctypes.CDLL(None).exp
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    found: Callable[[float], float] = function
    return found


_ANSWERS: Final[Mapping[str, Callable[[Any, float], Any]]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("", "regression", "regression_l1", "huber", "fair", "quantile", "mape"),
                *("lambdarank", "rank_xendcg", "custom"),
            ),
            lambda scores, _: scores,
        ),
        **dict.fromkeys(("poisson", "gamma", "tweedie"), lambda scores, _: _exp(scores)),
        **dict.fromkeys(("binary", "multiclassova", "cross_entropy"), _sigmoid),
        "multiclass": _softmax,
    }
)
