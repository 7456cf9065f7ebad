import gc
import os
import sys

import numpy as np
import pytest

from service.hosting.flavours.preload import limit_threads, preload, reseed


def test_numeric_libraries_get_one_thread_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)

    limit_threads()

    assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]) == ("3", "1")


def test_preloading_imports_the_heavy_libraries_and_takes_them_from_the_collector() -> None:
    try:
        preload()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()

    assert {"pandas", "sklearn.ensemble", "service.hosting.flavours.sklearn"} <= sys.modules.keys()


def test_forked_processes_draw_numbers_of_their_own() -> None:
    np.random.seed(1)
    inherited = np.random.get_state()
    drawn = np.random.random(4)
    np.random.set_state(inherited)

    reseed()

    assert not np.array_equal(np.random.random(4), drawn)
