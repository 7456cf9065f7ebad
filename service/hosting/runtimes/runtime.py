"""What a runtime is, and what it is given: the contents of an artifact that is to become a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.image import BUILT_IN, runs_here
from service.hosting.artifacts.unpacked import UNLIMITED, Room
from service.hosting.containers.opener import Containers
from service.hosting.environments.asked import EnvironmentSpec
from service.hosting.host import Model
from service.hosting.sharing import ArrayStore
from service.media.types import JSON


def tell_nobody(_how: str) -> None:
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class Contents:
    """One artifact, unpacked, and what its model is told.

    `version` changes whenever its files do. `image` is the container image that is asked for, and `place`
    where the files come from, if not from `folder` itself. `script` is the file of its handlers and
    `code_dirs` are where its own modules lie, if it has any; they run in `containers`, with what
    `requirements` names. `tell` is told how a load goes that takes long.
    It is `called` as callers know it, "" for one that is known by its files' names alone.
    A container of it may take `startup_s` to start, None: as long as any.
    A model in this process may take `room`, and its programs `most_program_bytes`, 0 for none.
    """

    folder: Path
    environment: Mapping[str, str]
    version: str = ""
    image: str = BUILT_IN
    script: Path | None = None
    code_dirs: tuple[Path, ...] = ()
    requirements: Path | None = None
    place: Path | None = None
    containers: Containers | None = None
    room: Room = UNLIMITED
    most_program_bytes: int = 0
    tell: Callable[[str], None] = tell_nobody
    startup_s: float | None = None
    called: str = ""

    @property
    def name(self) -> str:
        """What people call it: in the log, and where something is said of it."""
        return self.called or (self.place or self.folder).name

    def lacking(self) -> EnvironmentSpec | None:
        """What it asks for that the server's own environment has not; None where it runs in that one.

        Raises ModelFailure.
        """
        environments = None if self.containers is None else self.containers.environments
        if environments is None:
            return None
        return environments.lacking(self.place or self.folder, self.requirements, self.image, self.version)

    @property
    def arrays(self) -> ArrayStore | None:
        """Where large models of this process meet those of others; None where each has its own."""
        return None if self.containers is None else self.containers.arrays

    @property
    def default_accept(self) -> str:
        """What callers get who do not say what they accept."""
        return self.environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to make a model of an artifact: a row of the table.

    `serves` looks at names and never loads; `load` blocks, and raises ModelFault. `endings` are those of its
    model files, by which folders are known to hold a model, and how much memory it will take. `runs` tells
    the images that it stands in for. What is `shared` is loaded once for all processes that serve.
    """

    name: str
    serves: Callable[[Contents], bool]
    load: Callable[[Contents], Model]
    endings: tuple[str, ...] = ()
    runs: Callable[[str], bool] = runs_here
    shared: bool = False
