"""Model files that take much more memory than their size says, and those that do not."""

import bz2
import gzip
import lzma
import operator
import os
import pickle
import signal
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from service.errors import ModelFailure, ModelTooLarge
from service.hosting.artifacts.unpacked import Room, unpacked_bytes
from service.hosting.runtimes.guarded import NeedsOwnCode, Unsure, load_within
from service.hosting.runtimes.pickled import load_file

MIB = 2**20


def of_alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bz2.compress, lzma.compress, of_alone])
def test_the_size_of_what_is_packed_is_counted_and_no_further_than_asked(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    data = os.urandom(1000) + bytes(9 * MIB)
    file = tmp_path / "model.joblib"
    file.write_bytes(pack(data))

    assert unpacked_bytes(file, 100 * MIB) == len(data)
    assert 2 * MIB < unpacked_bytes(file, 2 * MIB) < 4 * MIB
    file.write_bytes(pack(data)[:-20])
    assert unpacked_bytes(file, 100 * MIB) <= len(data)


def test_what_is_not_packed_is_as_large_as_its_file(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps([1, 2, 3]))

    assert unpacked_bytes(file, 1) == file.stat().st_size


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    rows, labels = load_iris(return_X_y=True)
    words = np.array(["setosa", "versicolor", "virginica"], dtype=object)[labels]
    return {
        "linear": LogisticRegression(max_iter=1000).fit(rows, labels),
        "labels that are objects": LogisticRegression(max_iter=1000).fit(rows, words),
        "forest": RandomForestClassifier(5, random_state=0).fit(rows, labels),
        "neighbours": KNeighborsClassifier(algorithm="kd_tree").fit(rows, labels),
        "a function of numpy": make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(
            rows, labels
        ),
        "words": TfidfVectorizer().fit(["a word", "another word"]),
        "categories": OneHotEncoder().fit(words.reshape(-1, 1)),
    }


def state_of(model: Any) -> Any:
    """What two models have in common that are equal; a tree's nodes hold bytes that mean nothing."""
    return [tree.tree_.value for tree in model.estimators_] if hasattr(model, "estimators_") else model


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("xz", 1), ("bz2", 1)], ids=str)
def test_ordinary_models_are_loaded_at_once(tmp_path: Path, models: dict[str, Any], compress: Any) -> None:
    file = tmp_path / "model.joblib"
    for name, model in models.items():
        joblib.dump(model, file, compress=compress)
        loaded = load_within(file, Room(256 * MIB))
        assert type(loaded) is type(model)
        assert joblib.hash(state_of(loaded)) == joblib.hash(state_of(joblib.load(file))), name


@pytest.mark.parametrize("protocol", [2, 5])
def test_plain_pickles_are_loaded_at_once(tmp_path: Path, models: dict[str, Any], protocol: int) -> None:
    file = tmp_path / "model.pkl"
    for name, model in models.items():
        file.write_bytes(pickle.dumps(model, protocol))
        assert joblib.hash(state_of(load_within(file, Room(256 * MIB)))) == joblib.hash(state_of(model)), name


class Call:
    """Something whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize(
    "thing",
    [
        Call(np.ones, 75_000_000),
        Call(bytes, 600_000_000),
        Call(bytearray, 600_000_000),
        Call(operator.mul, [0], 75_000_000),
        Call(list, Call(range, 75_000_000)),
        Call(np.bytes_, 600_000_000),
    ],
    ids=lambda thing: thing._call[0].__name__,
)
def test_what_calls_for_memory_is_not_called_here(tmp_path: Path, thing: Call) -> None:
    file = tmp_path / "model.joblib"
    joblib.dump({"in": np.array([thing], dtype=object)}, file)
    with pytest.raises(Unsure):
        load_within(file, Room(200 * MIB))
    joblib.dump(thing, file)
    with pytest.raises(Unsure):
        load_within(file, Room(200 * MIB))


def test_many_small_objects_are_not_made_here(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"\x80\x04(" + b"\x8f" * 3_000_000 + b"l.")

    with pytest.raises(Unsure):
        load_within(file, Room(200 * MIB))


def test_an_array_that_unpacks_beyond_the_limit_is_refused_on_the_way(tmp_path: Path) -> None:
    file = tmp_path / "model.joblib"
    joblib.dump(np.zeros(3 * MIB), file, compress=9)

    with pytest.raises(ModelTooLarge, match="needs more than 16 MiB"):
        load_within(file, Room(16 * MIB))


@pytest.mark.parametrize("most_bytes", [0, 200 * MIB])
def test_objects_of_the_models_own_modules_are_not_made_here(tmp_path: Path, most_bytes: int) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"cratio.parts\nmake\n(I7\ntR.")

    with pytest.raises(NeedsOwnCode):
        load_file(file, set(), Room(most_bytes, frozenset({"ratio"})))


def test_what_nobody_can_know_is_left_to_the_models_own_process_if_it_has_modules(tmp_path: Path) -> None:
    file = tmp_path / "model.joblib"
    joblib.dump(Call(np.ones, 7), file)

    with pytest.raises(NeedsOwnCode):
        load_file(file, set(), Room(200 * MIB, frozenset({"ratio"})))


def test_what_nobody_can_know_is_tried_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    joblib.dump(Call(np.ones, 75_000_000), file)

    with pytest.raises(ModelTooLarge, match=r"model\.pkl needs more than 200 MiB"):
        load_file(file, set(), Room(200 * MIB))


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (Call(os._exit, 0), "exit code 0"),
        (Call(os._exit, 3), "exit code 3"),
        (Call(signal.raise_signal, signal.SIGKILL), "signal 9"),
    ],
    ids=["0", "3", "killed"],
)
def test_however_a_model_ends_its_process_it_is_not_loaded_here(tmp_path: Path, end: Call, said: str) -> None:
    """No exit code stands for a load that went well, nor for one that took too much."""
    file = tmp_path / "model.joblib"
    joblib.dump(end, file)

    with pytest.raises(ModelFailure) as caught:
        load_file(file, set(), Room(200 * MIB))

    assert caught.value.message == f"model.joblib ends the process that loads it ({said})"
