"""One thread for what is tried: OpenMP's wait for one another, most of all on a machine that is busy."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Let estimators that this thread calls use no others; what other threads call is as it was.

    An estimator of a hundred trees begins and ends its threads a hundred times for each answer, which took a
    minute instead of two seconds where other processes kept the processors busy. No answer depends on it.
    """
    # not above: a server imports scikit-learn in a way of its own (runtimes/preload)
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    if _openmp_effective_n_threads() == 1:
        yield
        return
    with threadpool_limits(1, user_api="openmp"):
        yield
