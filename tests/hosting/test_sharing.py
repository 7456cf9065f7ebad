"""Arrays of large models in memory once: what is shared, what is not, and whom it harms (nobody)."""

import copy
import gc
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsRegressor

from service.errors import ModelFault, ModelTooLarge
from service.hosting.artifacts.unpacked import Room
from service.hosting.containers.opener import Containers
from service.hosting.host import Call, Model
from service.hosting.programs.table import size_bytes
from service.hosting.programs.trees import forests_in
from service.hosting.runtimes.guarded import Unsure, load_within
from service.hosting.runtimes.table import Loading, load_model
from service.hosting.sharing import ArrayStore, SharedArrays
from tests.conftest import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files in memory alone")

MIB = 2**20
PAGE = 4096
BUDGET_BYTES = 256 * MIB
LIMIT_S = 60.0
MOST_TREES = 3  # of four: an array that happens to lie in freed memory has no place of its own
Place = tuple[str, int]
Open = Callable[..., Model]


def told_nobody(_how: str) -> None:
    """Nobody asked how a load goes."""


@pytest.fixture(autouse=True)
def _nothing_is_freed_by_chance() -> Iterator[None]:
    """Arrays that are collected in the middle of a load leave room, where others lie at any place of a page.

    Other tests of this process leave such. In a gateway large ones have mappings of their own at all times.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def forest() -> ExtraTreesClassifier:
    """Four trees with some MiB of nodes each."""
    draw = np.random.default_rng(0)
    rows, labels = draw.random((15_000, 4)), draw.integers(0, 2, 15_000)
    return ExtraTreesClassifier(4, max_features=1, random_state=0).fit(rows, labels)


@pytest.fixture
def store(tmp_path: Path) -> ArrayStore:
    """What two processes share, however small."""
    return ArrayStore(tmp_path / "arrays", 0, 2)


@pytest.fixture
def opened(tmp_path: Path, store: ArrayStore) -> Open:
    """Loads a model as each process of a family would."""
    dumped: list[tuple[Any, int]] = []

    def load(estimator: Any, *, compress: int = 0, budget: int = BUDGET_BYTES, alone: bool = False) -> Model:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        if dumped[-1:] != [(estimator, compress)]:  # trees hold bytes that mean nothing and differ each time
            joblib.dump(estimator, folder / "model.joblib", compress=compress)
            dumped.append((estimator, compress))
        containers = Containers(tmp_path, 1, LIMIT_S, arrays=None if alone else store)
        loading = Loading(budget, BUDGET_BYTES, containers)
        return load_model(folder, {}, loading, version="1")

    return load


def place_of(array: "np.ndarray[Any, Any]") -> Place | None:
    """The file in memory below the middle of an array, and where in it; None for memory of its own."""
    address = array.__array_interface__["data"][0] + array.nbytes // 2
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, _, offset, _, inode, *path = line.split(maxsplit=5)
            begin, end = (int(each, 16) for each in span.split("-"))
            if begin <= address < end:
                shared = bool(path) and path[0].startswith("/memfd:sagebird-")
                return (inode, int(offset, 16) + (address - begin) // PAGE * PAGE) if shared else None
    return None


def estimator_of(model: Model) -> Any:
    predictor: Any = model.traits.joinable
    return predictor.estimator


def places(model: Model) -> list[Place | None]:
    """Where the nodes of a forest's trees are."""
    return [place_of(tree.tree_.__getstate__()["nodes"]) for tree in estimator_of(model).estimators_]


def links(store: ArrayStore) -> list[Path]:
    """What those have left that have a model, for others to find."""
    return [path for path in store.folder.iterdir() if path.is_symlink()]


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """This process may use so much for a while."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def flat(value: float, size_bytes: int = MIB) -> KNeighborsRegressor:
    """A model that is one array, all numbers of which are alike."""
    rows = np.full((size_bytes // 64, 8), value)
    return KNeighborsRegressor(1, algorithm="brute").fit(rows, np.zeros(len(rows)))


def rows_of(model: Model) -> "np.ndarray[Any, Any]":
    found: np.ndarray[Any, Any] = estimator_of(model)._fit_X
    return found


@pytest.mark.parametrize("compress", [0, 3])
def test_what_is_loaded_twice_is_in_memory_once(
    opened: Open, forest: ExtraTreesClassifier, compress: int
) -> None:
    first, second = (opened(forest, compress=compress) for _ in range(2))
    assert len(set(places(first)) - {None}) >= MOST_TREES
    assert len(set(places(first)).intersection(places(second)) - {None}) >= MOST_TREES


def test_answers_are_those_of_a_model_that_shares_nothing(opened: Open, forest: ExtraTreesClassifier) -> None:
    call = Call(b"\n".join(b"0.%d,0.5,0.%d,0.1" % (at, 99 - at) for at in range(10, 99)), "text/csv", None)
    answers = [opened(forest, alone=alone).answer(call) for alone in (True, False, False)]
    assert answers == answers[:1] * 3


def test_each_process_counts_its_part_of_what_it_shares(opened: Open) -> None:
    alone, first, second = (
        opened(flat(1.0), alone=alone).traits.size_bytes for alone in (True, False, False)
    )
    assert first == second == pytest.approx(alone / 2, rel=0.1)


def test_who_writes_to_an_array_has_pages_of_its_own_from_then_on(opened: Open) -> None:
    first, second = opened(flat(1.0)), opened(flat(1.0))
    rows_of(first)[:] = 7.0
    assert (rows_of(second) == 1.0).all()
    third = opened(flat(1.0))
    assert (rows_of(third) == 1.0).all()
    assert place_of(rows_of(third)) == place_of(rows_of(second))


def test_other_bytes_are_never_exchanged_whatever_the_files_are_said_to_be(opened: Open) -> None:
    """Both are said to be the same version, as where a file is replaced while it is loaded."""
    first, second = opened(flat(1.0)), opened(flat(2.0))
    assert place_of(rows_of(first)) is not None
    assert place_of(rows_of(second)) is None
    assert (rows_of(second) == 2.0).all()


def test_what_differs_in_the_middle_alone_is_not_exchanged(opened: Open) -> None:
    other = flat(1.0)
    other._fit_X[len(other._fit_X) // 2] = 2.0
    first, second = opened(flat(1.0)), opened(other)
    assert place_of(rows_of(first)) is not None
    assert (rows_of(second) == other._fit_X).all()


def _arrays(forest: Any) -> list[Any]:
    """What lies below what it holds: arrays, and those of scikit-learn's trees."""
    found: list[Any] = []
    for held in forest.held:
        state = {"array": held} if isinstance(held, np.ndarray) else held.__getstate__()
        found += [part for part in state.values() if isinstance(part, np.ndarray)]
    return found


def test_programs_of_a_shared_model_are_in_memory_once(opened: Open, forest: ExtraTreesClassifier) -> None:
    found, sizes = [], []
    for _ in range(2):
        model = opened(forest)
        model.traits.compiling.run(None, None)
        assert "compiled: predict" in model.traits.description
        predictor: Any = model.traits.joinable
        (merged,) = forests_in(quick.program for quick in predictor.quick.values())
        found.append((merged, model))
        sizes.append(model.traits.compiling.program_bytes)
    (first, one), (second, other) = found
    for mine, others in zip(_arrays(first), _arrays(second), strict=True):
        assert place_of(mine) == place_of(others) is not None
    assert sizes[0] == sizes[1] == size_bytes(forest) // 2
    call = Call(b"0.1,0.5,0.9,0.1", "text/csv", None)
    assert one.answer(call) == other.answer(call) == opened(forest, alone=True).answer(call)


def test_small_arrays_and_small_models_stay_as_they_are(opened: Open, store: ArrayStore) -> None:
    model = opened(flat(1.0, 16 << 10))
    assert place_of(rows_of(model)) is None
    assert links(store) == []
    assert not ArrayStore(store.folder, MIB).is_for(MIB)
    assert ArrayStore(store.folder, MIB, 2).part_of(MIB) == MIB
    assert ArrayStore(store.folder, MIB, 2).part_of(4 * MIB) == 2 * MIB


def test_what_lies_in_the_heap_stays_as_it_is(store: ArrayStore) -> None:
    """What is freed there is used again, so that its pages never go, nor would the file below them."""
    array = np.full(100_000, 1, np.uint8)
    with store.open("one", told_nobody) as arrays:
        assert arrays.exchange([array]) == 0
        assert arrays.exchange([np.full(100_000, 1, np.uint8)]) > 0
    arrays.close()


def test_a_model_may_take_what_all_that_share_it_may(opened: Open, tmp_path: Path) -> None:
    model = opened(flat(1.0, 5 * MIB), budget=4 * MIB)
    assert model.traits.size_bytes < 4 * MIB
    file = tmp_path / "model" / "model.joblib"
    with pytest.raises((ModelTooLarge, Unsure)):
        load_within(file, Room(4 * MIB))
    joblib.dump(flat(1.0, 9 * MIB), file)
    with pytest.raises((ModelTooLarge, Unsure)):
        load_within(file, Room(4 * MIB, sharers=2))


def test_parts_are_shared_while_the_rest_is_still_loaded(
    store: ArrayStore, forest: ExtraTreesClassifier
) -> None:
    with store.open("one", told_nobody) as arrays:
        trees = [copy.deepcopy(forest.estimators_[0]) for _ in range(10)]
        for tree in trees:
            arrays.note(tree)
        found = [place_of(tree.tree_.__getstate__()["nodes"]) for tree in trees]
        assert any(found[:8])
        assert found[8:] == [None, None]
    arrays.close()


def test_a_load_that_fails_leaves_the_next_one_to_be_the_first(opened: Open, store: ArrayStore) -> None:
    with pytest.raises(RuntimeError), store.open("one", told_nobody):
        raise RuntimeError("a load that fails")
    with pytest.raises(ModelFault):
        opened(object())
    assert links(store) == []
    assert place_of(rows_of(opened(flat(1.0)))) is not None


def test_who_comes_while_a_model_is_loaded_for_the_first_time_waits_and_is_told(store: ArrayStore) -> None:
    told: list[str] = []
    rows: list[np.ndarray[Any, Any]] = []

    def exchange(arrays: SharedArrays) -> None:
        rows.append(np.full(MIB, 1, np.uint8))
        arrays.exchange(rows[-1:])

    def come_second() -> None:
        with store.open("one", told.append) as arrays:
            exchange(arrays)
        arrays.close()

    second = threading.Thread(target=come_second)
    with store.open("one", told_nobody) as arrays:
        second.start()
        wait_until(lambda: bool(told), LIMIT_S)
        exchange(arrays)
    second.join(LIMIT_S)
    assert "another process" in told[0]
    assert place_of(rows[0]) == place_of(rows[1]) is not None
    arrays.close()


def test_a_model_that_is_gone_is_found_by_nobody_and_what_others_have_stays(
    opened: Open, store: ArrayStore
) -> None:
    first, second = opened(flat(1.0)), opened(flat(1.0))
    shared = place_of(rows_of(second))
    assert len(links(store)) == 2
    del first
    gc.collect()
    assert len(links(store)) == 1
    third = opened(flat(1.0))
    assert place_of(rows_of(third)) == shared
    del second, third
    gc.collect()
    assert links(store) == []


def test_what_killed_processes_left_is_passed_over(opened: Open, store: ArrayStore, tmp_path: Path) -> None:
    model = opened(flat(1.0))
    (link,) = links(store)
    name = link.name.partition(".")[0]
    unfinished = os.memfd_create(f"sagebird-{name}")
    (tmp_path / "another file").write_bytes(b"x" * PAGE)
    with (tmp_path / "another file").open("rb") as another:
        left = {"1.0": "/proc/0/fd/0", "1.1": f"/proc/{os.getpid()}/fd/{another.fileno()}"}
        left["1.2"] = f"/proc/{os.getpid()}/fd/{unfinished}"
        for end, target in left.items():
            (store.folder / f"{name}.{end}").symlink_to(target)
        del model
        gc.collect()
        assert place_of(rows_of(opened(flat(1.0)))) is not None
    assert {path.name for path in links(store)}.isdisjoint(f"{name}.{end}" for end in left)
    os.close(unfinished)


@pytest.mark.parametrize("most_bytes", [PAGE, 2 * MIB])
def test_where_there_is_no_memory_for_the_file_arrays_stay_as_they_are(
    opened: Open, store: ArrayStore, most_bytes: int
) -> None:
    with limited(resource.RLIMIT_FSIZE, most_bytes), store.open("one", told_nobody) as arrays:
        rows = [np.full(MIB, value, np.uint8) for value in range(4)]
        shared_bytes = arrays.exchange(rows)
        assert shared_bytes <= most_bytes
        assert all((each == value).all() for value, each in enumerate(rows))
    with store.open("one", told_nobody) as others:
        again = [np.full(MIB, value, np.uint8) for value in range(4)]
        assert others.exchange(again) >= shared_bytes
    assert [place_of(each) for each in again][:2] == [place_of(each) for each in rows][:2] or not shared_bytes
    arrays.close()
    others.close()


def test_where_the_system_has_no_files_in_memory_each_has_its_own(
    opened: Open, monkeypatch: pytest.MonkeyPatch, store: ArrayStore
) -> None:
    def refuse(_name: str, _flags: int) -> int:
        raise OSError("not here")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert place_of(rows_of(opened(flat(1.0)))) is None
    monkeypatch.delattr(os, "memfd_create")
    assert not store.is_for(BUDGET_BYTES)
    assert place_of(rows_of(opened(flat(1.0)))) is None
