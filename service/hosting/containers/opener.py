"""How whoever loads models gets containers: where their host is, and what each may take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.domain import obstacles
from service.domain.image import named_image
from service.errors import ModelFailure
from service.hosting.container_card import ContainerCard
from service.hosting.containers.calls import MOST_ANSWER_BYTES
from service.hosting.containers.container_host import DOOR
from service.hosting.containers.lease import Lease, take_lease
from service.hosting.containers.spec import MOST_WORKERS, ContainerSpec
from service.hosting.containers.survey import survey
from service.hosting.environments.environments import Environments
from service.hosting.sharing import ArrayStore
from service.media.types import JSON

WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
_PROGRAMS_PART = 16


@dataclass(frozen=True, slots=True)
class Images:
    """That images of others run, on so many processors each; the engine may `pull` what it lacks."""

    cpus: int = 0
    pull: bool = False
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Containers:
    """The containers of one host.

    `workers` are those of a container whose environment names no other number; a call may take `timeout_s`,
    all processes of one container together `memory_bytes`, 0 for any. So many `sharers` count equal parts of
    what it holds. `environments` are made for models that ask for another one than the server's, None: never.
    `arrays` are those of large models that need none, which the same processes share, None: none are.
    `images` says how images of others run, None: not at all. An answer may have `most_answer_bytes`.
    What they print at no call is kept at the `log_places` that are known when one is asked for.
    """

    folder: Path
    workers: int
    timeout_s: float
    memory_bytes: int = 0
    sharers: int = 1
    load_timeout_s: float = 600.0
    environments: Environments | None = None
    arrays: ArrayStore | None = None
    images: Images | None = None
    most_answer_bytes: int = MOST_ANSWER_BYTES
    log_places: Callable[[], Sequence[str]] = tuple

    def cards(self) -> list[ContainerCard]:
        """Those that stand, of whoever has them; none while their host is away. Blocks, a moment."""
        return survey(self.folder / DOOR)

    def for_job(self, workers: int, timeout_s: float) -> "Containers":
        """Those for a job of so many calls at once, each of which may take so long."""
        arrays = None if self.arrays is None else replace(self.arrays, sharers=1)
        return replace(
            self,
            workers=workers,
            timeout_s=timeout_s,
            sharers=1,
            arrays=arrays,
            most_answer_bytes=MOST_ANSWER_BYTES,
        )

    def printing_at(self, log_places: Callable[[], Sequence[str]]) -> "Containers":
        """Those whose lines are kept there."""
        return replace(self, log_places=log_places)

    def within(self, startup_s: float | None) -> "Containers":
        """Those that have so long to start, None: as long as all."""
        return self if startup_s is None else replace(self, load_timeout_s=startup_s)

    def part_of(self, size_bytes: int, *, contained: bool) -> int:
        """What a model with files of so many bytes counts in one process, as far as these tell."""
        if contained:
            return size_bytes // self.sharers
        return size_bytes if self.arrays is None else self.arrays.part_of(size_bytes)

    def open(
        self,
        model_dir: Path,
        version: str,
        environment: Mapping[str, str],
        program: Path | None,
        code_dirs: tuple[Path, ...],
        python: str = "",
        program_bytes: int = 0,
        name: str = "",
    ) -> Lease:
        """Have a container of a model stand, in the environment of `python` or the server's own.

        Programs of its estimators may hold `program_bytes`, and a small part of what it may hold itself: what
        fits without them is to fit with them. The log and people know it by its `name`, "" for its folder's.
        Blocking; raises ModelFault.
        """
        return take_lease(
            self.folder,
            ContainerSpec(
                name=name or model_dir.name,
                version=version,
                model_dir=str(model_dir),
                code_dirs=tuple(map(str, code_dirs)),
                program="" if program is None else str(program),
                environment=_checked(environment),
                default_accept=environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON),
                workers=self._workers(environment),
                python=python,
                timeout_s=self.timeout_s,
                load_timeout_s=self.load_timeout_s,
                memory_bytes=self.memory_bytes,
                program_bytes=self._part_for_programs(program_bytes),
                log_places=tuple(self.log_places()),
            ),
            self.log_places,
        )

    def open_image(
        self,
        model_dir: Path,
        version: str,
        environment: Mapping[str, str],
        image: str,
        code_dirs: tuple[Path, ...] = (),
        name: str = "",
    ) -> Lease:
        """Have a container of an image stand, with the model's folder in it. Blocking; raises ModelFault."""
        if self.images is None:
            raise ModelFailure(obstacles.image_cannot_run(named_image(image)))
        region = {"AWS_REGION": self.images.region, "AWS_DEFAULT_REGION": self.images.region}
        return take_lease(
            self.folder,
            ContainerSpec(
                name=name or model_dir.name,
                version=version,
                model_dir=str(model_dir),
                code_dirs=tuple(map(str, code_dirs)),
                environment=_checked({**region, **environment}),
                workers=self.images.cpus,
                timeout_s=self.timeout_s,
                load_timeout_s=self.load_timeout_s,
                memory_bytes=self.memory_bytes,
                image=image,
                pull=self.images.pull,
                log_places=tuple(self.log_places()),
            ),
            self.log_places,
        )

    def _part_for_programs(self, program_bytes: int) -> int:
        return min(program_bytes, self.memory_bytes // _PROGRAMS_PART) if self.memory_bytes else program_bytes

    def _workers(self, environment: Mapping[str, str]) -> int:
        named = environment.get(WORKERS, "").strip()
        if not named:
            return self.workers
        if not named.isdecimal() or not 1 <= int(named) <= MOST_WORKERS:
            raise ModelFailure(f"{WORKERS} must be a number from 1 to {MOST_WORKERS}, not {named!r}")
        return int(named)


def _checked(environment: Mapping[str, str]) -> dict[str, str]:
    """Raises ModelFailure for a variable that no process can have."""
    for name, value in environment.items():
        if "\0" in value or "\0" in name or "=" in name or not name:
            raise ModelFailure(
                f"the variable {name!r} of the model's Environment cannot be set: a name has no `=`, and "
                "neither it nor its value a zero byte."
            )
    return dict(environment)
