"""Models with code of their own: each in a container, a process that this one only calls."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from service.errors import ModelFailure
from service.hosting.artifacts.requirements import missing_requirements
from service.hosting.containers.begun import Begun
from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.lease import Lease
from service.hosting.containers.line import CallLine
from service.hosting.containers.opener import Containers
from service.hosting.containers.spec import Loaded
from service.hosting.footprint import SMALLEST_BYTES
from service.hosting.host import Answer, Call, Interface, Outcome, Traits
from service.hosting.programs.compiled import Compiling
from service.hosting.runtimes.fronted import AskContainer, Fronting
from service.hosting.runtimes.interface import interface_of
from service.hosting.runtimes.runtime import Contents
from service.hosting.stopwatch import Stopwatch
from service.media.tables import HeaderUse

MakeFront = Callable[[Contents, AskContainer], Fronting | None]


@dataclass(frozen=True, slots=True)
class Program:
    """What is known of a script that is ours and serves the files of one framework.

    `content_type` is that of calls that name none; `default_accept` is what callers get who do not say what
    they accept. None: as for any script.
    """

    framework: str
    content_type: str | None = None
    default_accept: str | None = None

    def call(self, call: Call) -> Call:
        """A call as its script gets it."""
        if self.content_type is None or call.content_type:
            return call
        return call._replace(content_type=self.content_type)


class _OtherProcess:
    """A container, as the event loop sees it."""

    def __init__(
        self,
        lease: Lease,
        sharers: int,
        program: Program | None,
        fronting: Fronting | None,
        most_bytes: int,
    ) -> None:
        self._lease = lease
        self._sharers = sharers
        self._program = program
        self._fronting = fronting
        self._line = CallLine(lease.address, lease.workers, most_bytes=most_bytes, rings=True)

    @property
    def places(self) -> int:
        """See host.Elsewhere: more where calls are quick."""
        return self._line.places

    def begin(self, call: Call, told: Callable[[Outcome], None], watch: Stopwatch) -> Begun:
        """See host.Elsewhere."""
        return self._line.begin(call if self._program is None else self._program.call(call), told, watch)

    def look(self) -> int | None:
        """Memory that counts for this process by now; None once the container is gone."""
        return self.size_bytes if self._lease.look() else None

    @property
    def size_bytes(self) -> int:
        """Memory that counts for this process, what stands in front of the container included."""
        own = 0 if self._fronting is None else self._fronting.held_bytes
        return max(self._lease.size_bytes // self._sharers, SMALLEST_BYTES) + own

    def notes(self) -> tuple[str, ...]:
        """See host.Elsewhere."""
        return (self._lease.trouble,) if self._lease.trouble else ()

    def let_go(self) -> None:
        """See host.Elsewhere."""
        self._line.close()


class ContainedModel:
    """A model in a container. It stands as long as this object is alive."""

    def __init__(
        self,
        contents: Contents,
        containers: Containers,
        lease: Lease,
        warnings: tuple[str, ...],
        program: Program | None = None,
        front: MakeFront | None = None,
    ) -> None:
        loaded = lease.loaded
        headers = _headers(frozenset(loaded.functions))
        scripted = program is None or headers is HeaderUse.GIVEN
        self._interface = interface_of(loaded.interface, scripted=scripted)
        # Not by a method of this object: a circle would keep the lease beyond its end.
        self._ask = partial(_ask, lease.address, program, containers)
        fronting = None if front is None else front(contents, self._ask)
        elsewhere = _OtherProcess(lease, containers.sharers, program, fronting, containers.most_answer_bytes)
        columns = tuple(column.name for column in self._interface.columns) or None
        self.traits = Traits(
            _description(contents, loaded, program),
            elsewhere.size_bytes,
            scripted=scripted,
            warnings=(*warnings, *loaded.warnings),
            default_accept=_default_accept(contents, program),
            headers=headers,
            columns=columns if headers is HeaderUse.KNOWN else None,
            compiling=Compiling(None) if fronting is None else fronting,
            elsewhere=elsewhere,
            front=fronting,
        )
        weakref.finalize(self, lease.close)

    def answer(self, call: Call) -> Answer:
        """Have it answer a call, which this thread waits for. Raises ModelFault."""
        return self._ask(call)

    def interface(self) -> Interface:
        """What the object takes and gives that was loaded, as far as it is an estimator."""
        return self._interface


def _ask(address: str, program: Program | None, containers: Containers, call: Call) -> Answer:
    given = call if program is None else program.call(call)
    return ask_blocking(address, given, containers.timeout_s, containers.most_answer_bytes)


def load(
    contents: Contents, program: Program | None = None, front: MakeFront | None = None
) -> ContainedModel:
    """Have the model's container stand; `program` tells of its script where that is ours.

    `front` makes what answers some calls without the container, where that is wanted.

    Raises ModelFault.
    """
    containers = contents.containers
    if containers is None:
        raise ModelFailure("this model has code of its own, and nothing here runs such code")
    asked, environments = contents.lacking(), containers.environments
    if asked is None or environments is None:
        python, warnings = "", missing_requirements(contents.requirements)
    else:
        python, warnings = environments.python_for(asked, contents.tell), ()
    lease = containers.within(contents.startup_s).open(
        contents.folder,
        contents.version,
        contents.environment,
        contents.script,
        contents.code_dirs,
        python,
        contents.most_program_bytes if program is None else 0,
        contents.name,
    )
    return ContainedModel(contents, containers, lease, warnings, program, front)


def _description(contents: Contents, loaded: Loaded, program: Program | None) -> str:
    if program is not None:
        own = loaded.kind.startswith(program.framework)
        return f"{program.framework} model" if own else f"{loaded.kind} ({program.framework})"
    name = loaded.kind if contents.script is None else contents.script.name
    told = f"{name}: {', '.join(loaded.functions)}" if loaded.functions else name
    return f"{told}; compiled: {', '.join(loaded.compiled)}" if loaded.compiled else told


def _default_accept(contents: Contents, program: Program | None) -> str:
    asked = contents.environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")
    return asked or (None if program is None else program.default_accept) or contents.default_accept


def _headers(functions: frozenset[str]) -> HeaderUse:
    """Who reads the header line of a CSV: built-in code, by names, only for a model that it asks itself."""
    own = functions & {"input_fn", "predict_fn", "transform_fn"}
    return HeaderUse.GIVEN if own else HeaderUse.KNOWN
