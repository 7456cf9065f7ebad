from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.played_workers import Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    """A container's socket; its folder's name is short, for that of a socket may not be long."""
    with TemporaryDirectory(prefix="sagebird-") as name:
        found = Workers(Path(name))
        yield found
        found.close()
