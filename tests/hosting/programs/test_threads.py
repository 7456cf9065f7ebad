"""What is tried is tried in one thread, and nothing else is."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import sklearn.ensemble  # noqa: F401 - with it comes OpenMP
from threadpoolctl import threadpool_info, threadpool_limits

from service.hosting.programs.agreement import Step
from service.hosting.programs.compiled import Joined, Quick, answers_by_row, compile_model
from service.hosting.programs.threads import one_thread


def _threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "openmp"}


@pytest.mark.parametrize("usual", [1, 3])
def test_this_thread_alone_has_no_others_for_a_while(usual: int) -> None:
    with ThreadPoolExecutor(1) as other, threadpool_limits(usual, user_api="openmp"):
        elsewhere = other.submit(_threads).result()
        with one_thread():
            assert _threads() == {1}
            assert other.submit(_threads).result() == elsewhere
        assert _threads() == {usual}


class _Reference:
    """An estimator that notes how many threads it may use."""

    estimator = None
    features = 2

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def methods(self) -> Mapping[str, Step]:
        return {"predict": self._predict}

    def programs(self) -> Mapping[str, Step]:
        return {"predict": lambda rows: rows.sum(axis=1)}

    def method(self, name: str) -> Step:
        return self.methods()[name]

    def is_row_wise(self) -> bool:
        return True

    def program_bytes(self) -> int:
        return 0

    def probes(self) -> Any:
        return np.random.default_rng(0).normal(size=(50, 2))

    def accelerate(self, programs: Mapping[str, Quick], joins: Mapping[str, Joined]) -> None:
        """Nobody asks it."""

    def _predict(self, rows: Any) -> Any:
        self.seen |= _threads()
        return rows.sum(axis=1)


def test_models_are_compiled_in_one_thread() -> None:
    reference = _Reference()
    with threadpool_limits(3, user_api="openmp"):
        assert compile_model(reference).compiled == ("predict",)
        assert answers_by_row(reference, ["predict"])
        assert _threads() == {3}
    assert reference.seen == {1}
