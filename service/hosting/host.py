"""The seam to whatever runs models: what a call and an answer are, what a model tells, who keeps it.

Protocols and plain values only. Not in here: any implementer; the one of this process is inline.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from service.domain.endpoint import ModelSource
from service.errors import NotAcceptable
from service.hosting.container_card import ContainerCard
from service.hosting.joinable import Joinable
from service.hosting.programs.compiled import Compiling, Joined, Verdict
from service.hosting.stopwatch import Stopwatch
from service.media.codec import choose_accept
from service.media.tables import HeaderUse
from service.media.types import JSON
from service.promise import BegunCall, Promise

Plain = str | int | float | bool


class Call(NamedTuple):
    """One request as a model's container sees it, but for its last two members.

    `log_place` is where is kept what code of its own prints, and `request_id` what that is found by.
    """

    body: bytes
    content_type: str | None
    accept: str | None
    custom_attributes: str | None = None
    target_model: str | None = None
    session_id: str | None = None
    log_place: str | None = None
    request_id: str | None = None

    def with_body(self, body: bytes) -> "Call":
        """The same for another body."""
        return Call(body, *self[1:])

    def of_nobody(self) -> "Call":
        """The same asked by no caller: what is printed meanwhile belongs to no request, of no other model."""
        return Call(*self[:6])


class StreamedCall(NamedTuple):
    """A `Call` whose body comes in parts, which are there once, for who passes them on as they come."""

    parts: Iterator[bytes]
    content_type: str | None
    accept: str | None


class Answer(NamedTuple):
    """What a model's container answers."""

    body: bytes
    content_type: str
    custom_attributes: str | None = None
    status: int = 200
    new_session_id: str | None = None
    closed_session_id: str | None = None


class StreamedAnswer(NamedTuple):
    """An `Answer` whose body comes in parts; what goes wrong on the way is raised while they come."""

    parts: AsyncIterator[bytes]
    content_type: str
    custom_attributes: str | None = None
    status: int = 200
    new_session_id: str | None = None
    closed_session_id: str | None = None


Outcome = Answer | Exception


@dataclass(frozen=True, slots=True)
class Column:
    """One input column.

    `words` are the only texts that it may hold, () if any; `gaps` says that a value may be missing. One that
    is not known to hold `text` holds numbers.
    """

    name: str
    text: bool = False
    words: tuple[str, ...] = ()
    gaps: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """What one model takes and gives, as far as it tells: for documents that describe calls of it.

    `scripted` says that the model's own code reads requests and words answers: only examples tell how.
    `width` is the number of columns, `columns` are theirs in order, () of a model fitted without names.
    `labels` are a classifier's, () of other models; `numbers` says that each row is answered by one number.
    `shown` is its answer to its own example request. `texts` says that each input is a text by itself.
    """

    scripted: bool
    width: int | None
    columns: tuple[Column, ...]
    labels: tuple[Plain, ...]
    numbers: bool
    shown: Answer | None
    texts: bool = False


def joined_interface(first: Interface | None, last: Interface | None) -> Interface | None:
    """What a pipeline takes, which its first model does, and gives, which its last one does."""
    if first is None:
        return None
    return replace(
        first,
        scripted=first.scripted or last is None or last.scripted,
        labels=() if last is None else last.labels,
        numbers=last is not None and last.numbers,
        shown=None,
    )


class Elsewhere(Protocol):
    """A model's other process, as the event loop sees it."""

    @property
    def places(self) -> int | None:
        """How many calls may be there at once from this one by now; None: as many as of any model."""
        ...

    def begin(self, call: Call, told: Callable[[Outcome], None], watch: Stopwatch) -> BegunCall:
        """Have one call answered, without a thread or a task; `told` hears later what came of it.

        `watch` is started once the process gets it. ModelUnreachable: nobody took the call, so that it may be
        sent again. Other faults are the model's own refusal or failure. Raises nothing.
        """
        ...

    def look(self) -> int | None:
        """Bytes that it holds by now and that count for this process; None once it is gone. Does not wait."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What people should know of it by now."""
        ...

    def let_go(self) -> None:
        """No call will come any more, and none is under way."""
        ...


@dataclass(frozen=True, slots=True)
class Traits:
    """What everyone asks of a loaded model, instead of its class; the defaults promise nothing.

    `kind` is what it is, for people; `warnings` is what they should know about it, each with its fix.
    `size_bytes` is the memory that it holds. `in_place`: only built-in code answers, which may run on the
    event loop if measured to be cheap. `scripted`: its own functions read requests or word answers.
    `joinable`: how its calls may be answered together, None: each by itself. `headers` is what it makes of a
    header line of CSV, `columns` are the names by which it knows one. `compiling`: what became of making it
    faster. `elsewhere` is the process that answers calls, where it is another one, `front` what answers some
    of them in its place. `ask_parameters` asks one what it can do in a batch (contract A.5); blocks.
    """

    kind: str
    size_bytes: int
    in_place: bool = False
    scripted: bool = False
    warnings: tuple[str, ...] = ()
    joinable: Joinable | None = None
    default_accept: str = JSON
    headers: HeaderUse = HeaderUse.GIVEN
    columns: tuple[str, ...] | None = None
    compiling: Compiling = field(default_factory=partial(Compiling, None))
    elsewhere: Elsewhere | None = None
    ask_parameters: Callable[[], Mapping[str, Any]] | None = None
    front: "Front | None" = None

    @property
    def description(self) -> str:
        """What it is, for people, with what came of compiling it."""
        return self.compiling.describe(self.kind)

    def joined(self, accept: str | None) -> Joined | None:
        """How calls that accept this may be joined, so that each gets what it would get alone; None: not."""
        if self.joinable is None or not self.joinable.takes.numbers:
            return None
        try:
            return self.joinable.joined(choose_accept(accept, default=self.default_accept))
        except NotAcceptable:  # that is for the call itself to say
            return None

    def answers_by_row(self, accept: str | None) -> bool:
        """Whether records may be put into requests in any way. Takes a moment. Raises NotAcceptable."""
        chosen = choose_accept(accept, default=self.default_accept)
        return self.joinable is not None and self.joinable.answers_by_row(chosen)


class Front(Protocol):
    """What answers calls of another process in this one, where that was seen to be the same."""

    def lane(self, headers: tuple[str | None, str | None], bodies: Sequence[bytes]) -> "ShortWay | None":
        """The short way of calls with this Content-Type and Accept; None: the other process answers them."""
        ...


class Model(Protocol):
    """A model that is ready to answer."""

    @property
    def traits(self) -> Traits:
        """What it is and what may be done with it; the same as long as it is loaded."""
        ...

    def answer(self, call: Call) -> Answer:
        """Answer one call. Blocking; may run in several threads at once. Raises ModelFault."""
        ...

    def interface(self) -> Interface | None:
        """What it takes and gives; None of one that tells nothing."""
        ...


class ShortWay(Protocol):
    """Calls with the same headers, answered by one loaded model in the fewest steps, on the event loop.

    It is outdated once its `verdict` is no longer that of `compiling`.
    """

    compiling: Compiling
    verdict: Verdict | None

    def answer(self, bodies: Sequence[bytes]) -> list[Outcome]:
        """What each call gets."""
        ...

    def takes_rows(self, calls: int) -> bool:
        """Whether so many calls may come to `answer_rows` if their bodies are plain CSV."""
        ...

    def answer_rows(self, rows: Any, bodies: Sequence[bytes], *, plain: bool = True) -> list[Outcome] | None:
        """What each call gets for its part of rows (n, features); None if each has to be answered alone."""
        ...


class Replica(Protocol):
    """One copy of one variant: from a call to its model's answer, within limits of time and number."""

    @property
    def source(self) -> ModelSource:
        """Whose calls it answers."""
        ...

    def scale(self, instances: int, most_calls: int | None = None) -> None:
        """Be so many instances from now on; `most_calls` limits the calls at once of all of them."""
        ...

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> ShortWay | None:
        """What answers calls like `call`, but for their bodies, at once; None: `invoke` them one by one.

        Good for as long as nothing else happens on the event loop. Raises ModelNotFound.
        """
        ...

    def note_cost(self, call: Call, body_bytes: int, seconds: float) -> None:
        """Remember what a short way took for one call that it answered alone."""
        ...

    def begin(self, call: Call, watch: Stopwatch) -> Promise[Answer] | None:
        """As `invoke`, without a task, if the model is loaded and in another process; None: `invoke` it.

        Raises: ModelNotFound; Unavailable where too many calls wait.
        """
        ...

    async def invoke(self, call: Call, watch: Stopwatch | None = None) -> Answer | StreamedAnswer:
        """Answer one call; `watch` runs while the model is at it, until the last part of an answer.

        Raises:
            ModelFault: the model's own refusal or failure, a load that failed, or no answer in time.
            ModelNotReady: the target model is still loading when the time is over.
            Unavailable: too many calls are waiting, or the server stops.
        """
        ...


async def invoke_whole(replica: Replica, call: Call, watch: Stopwatch | None = None) -> Answer:
    """As `invoke`, for who wants the answer in one piece: waits for all parts of one that has several."""
    answer = await replica.invoke(call, watch)
    if isinstance(answer, Answer):
        return answer
    return Answer(b"".join([part async for part in answer.parts]), *answer[1:])


@dataclass(frozen=True, slots=True)
class HostedModel:
    """One model that a host holds, is loading or failed to load.

    `notes` warn, or say how the load goes, or why it failed.
    """

    name: str
    path: str
    loaded: bool
    size_bytes: int = 0
    description: str = ""
    notes: tuple[str, ...] = ()
    loading: bool = False


class Host(Protocol):
    """Gives out replicas of models, and keeps house. Belongs to one event loop."""

    def replica(self, source: ModelSource) -> Replica:
        """A replica of this source; cheap, loads nothing.

        That of a pipeline has its stages answer one after the other. Who calls one of a source's stages
        directly asks for the replica of that one.
        """
        ...

    async def warm_up(self, source: ModelSource) -> None:
        """Load a source's model and have it answer its example request, if it has one; its stages in order.

        Those that have models below a folder load them when they are called for.

        Raises:
            ModelFault: it cannot be loaded, or answered; its container is the stage's that failed.
        """
        ...

    def pin_models(self, sources: Iterable[ModelSource]) -> None:
        """Keep exactly the models of these sources loaded, besides those pinned by name."""
        ...

    def let_go(self, source: ModelSource) -> None:
        """Unload a source's model once nobody uses it; the next call looks for its files anew."""
        ...

    def models(self) -> list[HostedModel]:
        """The models that are loaded, least recently used first, that load for long, or whose load failed."""
        ...

    def containers(self) -> list[ContainerCard]:
        """The containers of the machine that models of code of their own run in; blocks, a moment."""
        ...

    def interface_of(self, source: ModelSource, target_model: str | None = None) -> Interface | None:
        """What a source's model takes and gives, while it is loaded; any thread may ask."""
        ...

    def path_of(self, source: ModelSource) -> Path:
        """The folder or archive of a source. Raises ModelNotFound."""
        ...

    def path_below(self, folder: Path, name: str) -> Path | None:
        """The folder or archive that a target name stands for, None if there is none."""
        ...

    def names_below(self, folder: Path) -> list[str]:
        """The models that can be called below a folder, scanned now."""
        ...

    def sweep(self) -> None:
        """Keep house; call it about once a second."""
        ...

    async def look_at_files(self) -> None:
        """See whether the files of some loaded models were changed."""
        ...

    async def close(self) -> None:
        """Unload everything. Threads in which a model still answers are left to the end of the process."""
        ...
