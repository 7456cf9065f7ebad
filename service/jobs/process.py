"""One process of a pool: loads the model, takes batches, gives results back."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

from service.domain.transform.options import (
    LINE,
    SINGLE_RECORD,
    ContainerParameters,
    TransformOptions,
    container_strategy,
    media_type,
    without_header,
)
from service.errors import ModelDied, ModelFault, ModelUnreachable, ObjectFault
from service.hosting.containers.opener import Containers
from service.hosting.host import Answer, Call, Model, StreamedCall, Traits
from service.hosting.memory import keep_freed_memory
from service.hosting.runtimes.preload import reseed
from service.hosting.runtimes.remote import RemoteModel
from service.hosting.runtimes.table import Loading, load_model
from service.jobs.alarm import alarm
from service.jobs.work import Ask, BatchWork, Done, Failed
from service.media.codec import choose_accept
from service.media.tables import HeaderUse
from service.media.types import CSV, JSON, JSON_LINES, TEXT
from service.objects.objects import ObjectPath, read_chunks

BatchResult = Done | Failed
Work = Callable[["Batch"], BatchResult]

_FIRST_PAUSE_S: Final = 0.25
_MOST_PROGRAM_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Spans:
    """Whole records of an object, read by whoever works on them below a header line, if they need one."""

    source: ObjectPath
    offset: int
    size_bytes: int
    header: bytes = b""


@dataclass(frozen=True, slots=True)
class Headed:
    """Whole records, and the header line that goes before them to the model."""

    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole object, to be sent in chunks of any number."""

    source: ObjectPath
    unpack: bool


Batch = bytes | Headed | Spans | Stream

DIED: Final = (
    "the process that ran the model died (killed, out of memory, or crashed in native code); "
    "it was tried twice"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a pool knows of its model once it is loaded.

    `as_blocks`: answers do not depend on how records are put together, so batches may be of any size.
    `columns`: the names by which it knows a header, if it does. `headers`: what it makes of one.
    """

    description: str
    as_blocks: bool
    parameters: ContainerParameters
    warnings: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    headers: HeaderUse = HeaderUse.KNOWN


class ModelOpener(Protocol):
    """What opens the model of a pool; it is sent to each of the pool's processes."""

    def open(self) -> tuple[Work, Callable[[], None], Profile]:
        """Load the model: the work, what ends it, and what is known of the model. Raises ModelFault."""
        ...


@dataclass(frozen=True, slots=True)
class LocalModelOpener:
    """A model's folder, which each process of the pool loads for itself.

    It may take `most_bytes`, 0 for any; `code_dir` is code that lies apart from it. What has code of its own
    is in one of the `containers`, which the processes of the pool share, in an environment that its `image`
    and the `place` of its files decide; `version` changes with its files. `large`: there is so much to do
    that making the model faster first saves time.
    """

    model_dir: Path
    environment: Mapping[str, str]
    options: TransformOptions
    quarantine: bool
    most_bytes: int = 0
    code_dir: Path | None = None
    containers: Containers | None = None
    version: str = ""
    image: str = ""
    place: Path | None = None
    large: bool = False
    log_place: str | None = None

    def load(self) -> Model:
        """Load the folder's model. Raises ModelFault."""
        loading = Loading(self.most_bytes, _MOST_PROGRAM_BYTES, self.containers)
        return load_model(
            self.model_dir,
            self.environment,
            loading,
            self.code_dir,
            self.version,
            self.image,
            self.place,
        )

    def open(self) -> tuple[Work, Callable[[], None], Profile]:
        """Load the folder's model. Raises ModelFault."""
        model, options = self.load(), self.options
        if model.traits.in_place and options.content_type is not None:
            choose_accept(options.accept, self._default_accept)  # refused once, not for each file
        as_blocks = self._may_be_blocks(model)
        if self.large and model.traits.in_place and (as_blocks or _takes_words(model)):
            model.traits.compiling.run(None, None)
            as_blocks = self._may_be_blocks(model)  # of which more is known now
        quarantine, place = self.quarantine, self.log_place
        return open_model(
            model, self.load, options, quarantine=quarantine, as_blocks=as_blocks, log_place=place
        )

    def _may_be_blocks(self, model: Model) -> bool:
        """Whether no answer depends on how records are put together; else AWS's batches count."""
        if model.traits.joinable is None:  # it words its answers itself, in whatever form is asked
            return False
        if self.options.split_type != LINE or _is_one_text(self.options) or not self._answers_in_lines:
            return False
        return model.traits.answers_by_row(self.options.accept)

    @property
    def _default_accept(self) -> str:
        return self.environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)

    @property
    def _answers_in_lines(self) -> bool:
        kind = choose_accept(self.options.accept, self._default_accept).media_type
        return kind in (CSV, JSON_LINES)


def open_model(
    model: Model,
    load: Callable[[], Model],
    options: TransformOptions,
    *,
    quarantine: bool,
    as_blocks: bool,
    log_place: str | None = None,
) -> tuple[Work, Callable[[], None], Profile]:
    """What is done with a loaded model; `load` loads it anew where its process is gone.

    `as_blocks`: no answer depends on how records are put together. What it prints is kept at `log_place`.
    """
    lasting, traits = _Lasting(model, load, options.timeout_s), model.traits
    parameters = _parameters_of(traits, options)
    in_place = traits.elsewhere is None and not traits.scripted
    if in_place and not as_blocks and options.strategy(parameters) == SINGLE_RECORD:
        traits.compiling.run(None, None)  # so many calls of one row

    @lru_cache(maxsize=8)
    def work_below(header: bytes) -> BatchWork:
        below = options.content_type if traits.headers is HeaderUse.GIVEN else _announced(options, header)

        def ask(body: bytes) -> bytes:
            return lasting.answer(Call(header + body, below, options.accept, log_place=log_place)).body

        return BatchWork(
            options,
            parameters,
            ask if traits.in_place else _patient(ask, options.max_retries),
            ask,
            quarantine=quarantine,
            strict_lines=traits.in_place,
            as_blocks=as_blocks,
        )

    return (
        lambda batch: _run(work_below(_header_of(batch)), batch),
        lambda: None,
        Profile(traits.description, as_blocks, parameters, traits.warnings, traits.columns, traits.headers),
    )


def _parameters_of(traits: Traits, options: TransformOptions) -> ContainerParameters:
    """What a model says of itself, if it says anything; else what fits. Raises ModelUnreachable."""
    if traits.ask_parameters is not None:
        return _parameters(traits.ask_parameters())
    return ContainerParameters(batch_strategy=SINGLE_RECORD if _is_one_text(options) else None)


def _takes_words(model: Model) -> bool:
    """Whether built-in code has to make columns of words and gaps for it."""
    return model.traits.joinable is not None and not model.traits.joinable.takes.numbers


def _is_one_text(options: TransformOptions) -> bool:
    """Whether a whole body is one record."""
    return media_type(options.content_type) == TEXT


class _Lasting:
    """A model that answers though the process where it is dies at a call, or all containers do."""

    def __init__(self, model: Model, load: Callable[[], Model], timeout_s: float) -> None:
        self._model = model
        self._load = load
        self._timeout_s = timeout_s

    def answer(self, call: Call) -> Answer:
        """Answer a call, at the second try if need be. Raises ModelFault."""
        try:
            return self._answer(call)
        except ModelDied:
            pass
        try:
            return self._answer(call)
        except ModelDied as fault:
            raise ModelDied(f"{fault.container}: {DIED}" if fault.container else DIED) from None

    def _answer(self, call: Call) -> Answer:
        try:
            with alarm(self._timeout_s):
                return self._model.answer(call)
        except ModelUnreachable:
            if self._model.traits.elsewhere is None:
                raise
            self._model = self._load()
        with alarm(self._timeout_s):
            return self._model.answer(call)


@dataclass(frozen=True, slots=True)
class ContainerOpener:
    """A running container's address."""

    url: str
    options: TransformOptions
    quarantine: bool

    def open(self) -> tuple[Work, Callable[[], None], Profile]:
        """Ping the container and ask what it can do. Raises ModelUnreachable."""
        remote = RemoteModel(self.url, self.options.timeout_s)
        try:
            remote.ping()
        except ModelFault:
            remote.close()
            raise
        parameters = _parameters(remote.execution_parameters())
        options = self.options

        @lru_cache(maxsize=8)
        def work_below(header: bytes) -> BatchWork:
            below = _announced(options, header)

            def ask(body: bytes) -> bytes:
                return remote.answer(Call(header + body, below, options.accept)).body

            return BatchWork(
                options,
                parameters,
                _patient(ask, options.max_retries),
                ask,
                quarantine=self.quarantine,
                strict_lines=False,
                as_blocks=False,
            )

        def run(batch: Batch) -> BatchResult:
            work = work_below(_header_of(batch))
            if not isinstance(batch, Stream):
                return _run(work, batch)
            call = StreamedCall(_chunks(batch), _announced(options, b"", whole=True), options.accept)
            return work.run_stream(lambda: remote.answer(call).body)

        profile = Profile(f"container at {self.url}", False, parameters, headers=HeaderUse.GIVEN)
        return run, remote.close, profile


def serve(connection: Connection, opener: ModelOpener) -> None:
    """The life of a process of the pool; ends when the other end of the connection is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started the pool
    reseed()
    keep_freed_memory()
    try:
        work, _, profile = opener.open()
    except ModelFault as fault:
        connection.send(fault)
        return
    with suppress(EOFError, OSError):
        connection.send(profile)
        while True:
            connection.send(work(connection.recv()))


def _run(work: BatchWork, batch: Batch) -> BatchResult:
    try:
        return work.run(_body(batch))
    except ObjectFault as fault:
        return Failed(None, fault.message)


def _announced(options: TransformOptions, header: bytes, *, whole: bool = False) -> str | None:
    """What requests are said to be: with a header where a line goes before them, or whole files have one."""
    given = options.content_type
    if header or (options.header and (whole or options.split_type != LINE)):
        return f"{without_header(given or CSV)}; header=present"
    return without_header(given) if given and options.header else given


def _header_of(batch: Batch) -> bytes:
    return batch.header if isinstance(batch, Spans | Headed) else b""


def _body(batch: Batch) -> bytes:
    if isinstance(batch, bytes):
        return batch
    if isinstance(batch, Headed):
        return batch.body
    if isinstance(batch, Stream):
        return b"".join(_chunks(batch))
    with batch.source.objects.open(batch.source.key) as reader:
        body = reader.read(batch.offset, batch.size_bytes)
    if len(body) != batch.size_bytes:
        raise ObjectFault(f"{batch.source} became shorter while it was read.")
    return body


def _chunks(stream: Stream) -> Iterator[bytes]:
    return read_chunks(stream.source, unpack=stream.unpack)


def _patient(ask: Ask, retries: int, pause: Callable[[float], None] = time.sleep) -> Ask:
    """Ask again where the fault is not the caller's: no answer, a time-out, a status from 500 on."""

    def ask_again(body: bytes) -> bytes:
        for attempt in range(retries):
            try:
                return ask(body)
            except ModelFault as fault:
                if 0 < fault.status < 500 or isinstance(fault, ModelDied):  # which was tried twice
                    raise
                pause(_FIRST_PAUSE_S * 2**attempt)
        return ask(body)

    return ask_again


def _parameters(document: Mapping[str, object]) -> ContainerParameters:
    """What /execution-parameters said, as far as it makes sense."""
    concurrent, payload = document.get("MaxConcurrentTransforms"), document.get("MaxPayloadInMB")
    spelled = {container_strategy(name): name for name in ("MultiRecord", "SingleRecord")}
    return ContainerParameters(
        concurrent if type(concurrent) is int and concurrent > 0 else None,
        spelled.get(str(document.get("BatchStrategy"))),
        payload if type(payload) is int and 0 <= payload <= 100 else None,
    )
