"""What tests of the runner share: one fork server, and models of a few lines."""

import os
import textwrap
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from tests.runner.containers import Container, ForkServer

FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
Deploy = Callable[..., Container]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server.ready()


def giver(home: Path) -> Deploy:
    """Makes containers that are not started; code is text, all else is pickled; __ is a slash."""
    numbers = count()

    def give(
        script: str | None = None, *, environment: dict[str, str] | None = None, **files: Any
    ) -> Container:
        place = home / str(next(numbers))
        folder = place / "model"
        (folder / "code").mkdir(parents=True)
        if script is not None:
            files = {"code__inference": script, **files}
        for name, content in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.with_suffix(".py").write_text(textwrap.dedent(content))
            else:
                joblib.dump(content, path.with_suffix(".joblib"))
        own = {**(environment or {}), "SM_MODEL_DIR": str(folder)}
        program = folder / "code" / (own.get("SAGEMAKER_PROGRAM", "inference") + ".py")
        spec = {
            "model_dir": str(folder),
            "code_dirs": [str(folder / "code")],
            "program": str(program) if program.exists() else None,
            "environment": {"PATH": os.environ["PATH"], **own},
            "user_environment": own,
            "model_files": [".joblib", ".pkl"],
            "default_accept": own.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json"),
        }
        return Container(spec, place)

    return give


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Deploy]:
    """A container of these files that is not started."""
    made: list[Container] = []
    give = giver(tmp_path)

    def kept(*arguments: Any, **named: Any) -> Container:
        made.append(give(*arguments, **named))
        return made[-1]

    yield kept
    for container in made:
        container.close()


@pytest.fixture
def start(given: Deploy, fork_server: ForkServer) -> Deploy:
    """A container that is loading."""
    return lambda *arguments, **named: fork_server.start(given(*arguments, **named))


@pytest.fixture
def deploy(start: Deploy) -> Deploy:
    """A container that answers, with one worker."""

    def deployed(*arguments: Any, **named: Any) -> Container:
        container = start(*arguments, **named)
        container.loaded()
        return container.work(0)

    return deployed


@pytest.fixture(scope="module")
def serving(fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """A container that answers, the same one for all tests of a file that give the same script."""
    kept: dict[str, Container] = {}
    give = giver(tmp_path_factory.mktemp("serving"))

    def serve(script: str, **more: Any) -> Container:
        if script not in kept:
            kept[script] = fork_server.start(give(script, **more))
            kept[script].loaded()
            kept[script].work(0)
        return kept[script]

    yield serve
    for container in kept.values():
        container.close()


@pytest.fixture(scope="session")
def iris() -> Any:
    """A fitted model of four columns."""
    from sklearn.datasets import load_iris

    return LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
