"""Models of other libraries, each in a container of its own, as the server loads them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.hosting.containers.opener import Containers
from service.hosting.host import Model
from service.hosting.runtimes.table import Loading, choose_runtime, read_contents

Load = Callable[..., Model]
Rows = NDArray[np.float64]


@pytest.fixture(scope="module")
def load(containers: Containers) -> Load:
    """Loads a folder's model for an image."""

    def load(folder: Path, environment: Mapping[str, str] | None = None, image: str = "") -> Model:
        loading = Loading(containers=containers)
        contents = read_contents(folder, environment or {}, loading)
        contents = replace(contents, image=image or contents.image)
        return choose_runtime(contents, loading.runtimes).load(contents)

    return load


@pytest.fixture(scope="module")
def rows() -> Rows:
    return np.random.default_rng(12).normal(size=(200, 4)).astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def target(rows: Rows) -> NDArray[np.int64]:
    """One of three classes."""
    return np.digitize(rows[:, 0] + rows[:, 1] * rows[:, 2], [-0.5, 0.5])
