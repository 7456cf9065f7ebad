"""Measuring the memory that a model holds."""

import threading
from pathlib import Path

import numpy as np
import pytest

from service.hosting.footprint import SMALLEST_BYTES, measure


def test_small_models_count_the_minimum(tmp_path: Path) -> None:
    assert measure({"a": 1}, tmp_path) == SMALLEST_BYTES


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_count_once(tmp_path: Path, order: str) -> None:
    array = np.asarray(np.zeros((1000, 1000)), order=order)  # type: ignore[call-overload]  # a parameter, not a literal
    assert array.nbytes <= measure([array, array], tmp_path) < array.nbytes * 1.01


def test_python_objects_count_twice_their_pickle(tmp_path: Path) -> None:
    assert 400_000 < measure([f"{number:018}" for number in range(10_000)], tmp_path) < 600_000


def test_one_big_block_counts_once(tmp_path: Path) -> None:
    size = 4 << 20
    assert size <= measure({"booster": bytes(size)}, tmp_path) < size * 1.01


def test_local_functions_and_classes_are_no_hindrance(tmp_path: Path) -> None:
    class Local:
        def __init__(self) -> None:
            self.array = np.zeros(100_000)
            self.function = lambda x: x
            self.module = np

    assert 800_000 <= measure(Local(), tmp_path) < 810_000


def test_what_cannot_be_pickled_counts_as_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.bin").write_bytes(bytes(300_000))
    assert measure(threading.Lock(), tmp_path) == 300_000
