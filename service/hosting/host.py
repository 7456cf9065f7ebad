"""The seam to whatever runs models: what a call and an answer are, what a model tells, who keeps it.

Protocols and plain values only. Not in here: any implementer; the one of this process is inline.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from service.domain.endpoint import ModelSource
from service.hosting.programs.compiled import Compiling, Verdict
from service.hosting.stopwatch import Stopwatch

Plain = str | int | float | bool


class Call(NamedTuple):
    """One request as a model's container sees it."""

    body: bytes
    content_type: str | None
    accept: str | None
    custom_attributes: str | None = None
    target_model: str | None = None
    session_id: str | None = None

    def with_body(self, body: bytes) -> "Call":
        """The same for another body."""
        return Call(body, *self[1:])


class Answer(NamedTuple):
    """What a model's container answers."""

    body: bytes
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


class Model(Protocol):
    """A model that is ready to answer."""

    @property
    def in_place(self) -> bool:
        """Whether only built-in code answers, which may run on the event loop if measured to be cheap."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know about it, each with its fix."""
        ...

    @property
    def description(self) -> str:
        """What it is, for people."""
        ...

    @property
    def size_bytes(self) -> int:
        """Memory that it holds."""
        ...

    def answer(self, call: Call) -> Answer:
        """Answer one call. Blocking; may run in several threads at once. Raises ModelFault."""
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

    def answer_now(self, call: Call, bodies: Sequence[bytes]) -> list[Outcome] | None:
        """Answer calls that are like `call` but for their bodies, at once; None: `invoke` them one by one.

        Raises:
            ModelNotFound: no such model.
        """
        ...

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> ShortWay | None:
        """What can answer such calls now; None where `answer_now` says None.

        Good for as long as nothing else happens on the event loop.

        Raises:
            ModelNotFound: no such model.
        """
        ...

    async def invoke(self, call: Call, watch: Stopwatch | None = None) -> Answer:
        """Answer one call; `watch` runs while the model is at it.

        Raises:
            ModelFault: the model's own refusal or failure, a load that failed, or no answer in time.
            ModelNotReady: the target model is still loading when the time is over.
            Unavailable: too many calls are waiting, or the server stops.
        """
        ...


@dataclass(frozen=True, slots=True)
class HostedModel:
    """One model that a host holds, or failed to load; `notes` warn, or say why it failed."""

    name: str
    path: str
    loaded: bool
    size_bytes: int = 0
    description: str = ""
    notes: tuple[str, ...] = ()


class Host(Protocol):
    """Gives out replicas of models, and keeps house. Belongs to one event loop."""

    def replica(self, source: ModelSource) -> Replica:
        """A replica of this source; cheap, loads nothing."""
        ...

    async def warm_up(self, source: ModelSource) -> None:
        """Load a source's model and have it answer its example request, if it has one. Raises ModelFault."""
        ...

    def pin_models(self, sources: Iterable[ModelSource]) -> None:
        """Keep exactly the models of these sources loaded, besides those pinned by name."""
        ...

    def let_go(self, source: ModelSource) -> None:
        """Unload a source's model once nobody uses it; the next call looks for its files anew."""
        ...

    def models(self) -> list[HostedModel]:
        """The models that are loaded, least recently used first, and those whose last load failed."""
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
        """Unload everything. Threads that still run user code are left to the end of the process."""
        ...
