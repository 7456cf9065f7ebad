"""A transform job as it is asked for: the model's name, two addresses, options; looked up, checked and run.

The one door to batch transform, for the command line and for workers alike.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from service.domain.transform.options import TransformOptions, check_options
from service.errors import ModelNotFound, ValidationFault
from service.hosting.artifacts.artifact import ArtifactStore, open_artifacts
from service.hosting.artifacts.submitted import fingerprint, open_code
from service.hosting.containers.opener import Containers
from service.jobs.inputs import LEAST_BLOCK_BYTES, Input, find_inputs
from service.jobs.outcome import JobOutcome
from service.jobs.pool import ProcessPool, ThreadPool, WorkerPool
from service.jobs.process import ContainerOpener, LocalModelOpener
from service.jobs.transform import Job, JobMonitor, run_transform
from service.objects.resolver import Resolver, open_resolver
from service.s3uri import parse_s3_uri
from service.settings import Settings

_URLS: Final = ("http://", "https://")
_LARGE_BYTES: Final = 1 << 25


@dataclass(frozen=True, slots=True)
class TransformRequest:
    """What somebody wants transformed.

    `model`: a name of the model folder, a path, or the address of a running container. `environment`: the
    model's own; the options' wins over it. `guess_type` tells the ContentType by the name of an input,
    where the options leave it out.
    """

    model: str
    source: str
    target: str
    options: TransformOptions
    environment: Mapping[str, str] = field(default_factory=dict)
    quarantine: bool = False
    report: bool = False
    guess_type: Callable[[str], str | None] | None = None


@dataclass(frozen=True, slots=True)
class TransformParts:
    """What requests are done with: objects, models, and how many processes may work at once.

    A model with code of its own is in one of the `containers`.
    """

    resolver: Resolver
    artifacts: ArtifactStore
    models: Path
    cpus: int
    most_bytes: int = 0
    containers: Containers | None = None


def open_transform_parts(
    settings: Settings,
    *,
    model_roots: Sequence[Path] = (),
    allow_paths: bool,
    containers: Containers | None = None,
) -> TransformParts:
    """The parts over the settings' folders; `model_roots` are further folders that models may lie in."""
    return TransformParts(
        open_resolver(settings, allow_paths=allow_paths),
        open_artifacts(settings, model_roots),
        settings.models,
        settings.worker_processes,
        settings.model_memory,
        containers,
    )


def run_request(request: TransformRequest, parts: TransformParts, watch: JobMonitor) -> JobOutcome:
    """Check, look up, load, and run.

    Raises: ValidationFault where the request cannot be meant; ModelFault where the model cannot be loaded;
    ObjectFault where inputs cannot be found or outputs not be written.
    """
    target = parts.resolver.locate(request.target)
    inputs = find_inputs(parts.resolver, request.source, target, request.options)
    if request.guess_type and request.options.content_type is None:
        guessed = _type_of_all(inputs, request.guess_type)
        request = replace(request, options=replace(request.options, content_type=guessed))
    request = replace(request, options=request.options.settled())
    check_options(request.options)
    remote = request.model.startswith(_URLS)
    target.objects.clear(target.key)
    with closing(_open_pool(request, parts, inputs, remote=remote)) as pool:
        job = Job(inputs, target, request.options, pool, remote, request.quarantine, request.report)
        return run_transform(job, watch)


def _type_of_all(inputs: Sequence[Input], guess_type: Callable[[str], str | None]) -> str | None:
    """The type that the inputs' names tell, None if none does. Raises ValidationFault if they differ."""
    first: dict[str | None, str] = {}
    for given in inputs:
        first.setdefault(guess_type(given.source.name.removesuffix(".gz")), given.name)
    if len(first) > 1:
        told = [f"{name} {'tells none' if kind is None else f'is {kind}'}" for kind, name in first.items()]
        raise ValidationFault(
            f"A job has one type of input, and the endings of these differ: {', '.join(told)}. Say "
            "--content-type where all are of one type, else name a folder or file of one type alone."
        )
    return next(iter(first))


def _open_pool(
    request: TransformRequest, parts: TransformParts, inputs: Sequence[Input], *, remote: bool
) -> WorkerPool:
    options = request.options
    if remote and options.environment:
        raise ValidationFault("Environment cannot be given to a container that is already running.")
    if remote:
        return ThreadPool(ContainerOpener(request.model, options, request.quarantine), options)
    environment = {**request.environment, **options.container_environment()}
    found, artifacts = _find_model(request.model, parts), parts.artifacts
    size_bytes = sum(given.size_bytes for given in inputs)
    count = count_processes(options, parts.cpus, len(inputs), size_bytes)
    containers = None if parts.containers is None else parts.containers.for_job(count, options.timeout_s)
    opener = LocalModelOpener(
        artifacts.open(found),
        environment,
        options,
        request.quarantine,
        parts.most_bytes,
        open_code(artifacts, environment),
        containers,
        fingerprint(artifacts, found, environment),
        place=found,
        large=is_large(size_bytes),
    )
    return ProcessPool(opener, count)


def _find_model(model: str, parts: TransformParts) -> Path:
    """The model's folder or archive. Raises ModelFault."""
    if "/" in model:
        place = model if parse_s3_uri(model) else parts.resolver.locate(model).address
        return parts.artifacts.resolve(place)
    try:
        return parts.artifacts.resolve(model, within=parts.models)
    except ModelNotFound as error:
        raise ModelNotFound(f"{error.message.removesuffix('.')} {parts.models}.") from None


def count_processes(options: TransformOptions, cpus: int, files: int, size_bytes: int) -> int:
    """One for each processor unless told otherwise, and none that would have nothing to do."""
    wanted = options.max_concurrent_transforms or cpus
    return max(1, min(wanted, max(files, size_bytes // LEAST_BLOCK_BYTES)))


def is_large(size_bytes: int) -> bool:
    """Whether so much is asked that it pays to make a model faster first, which takes a second or so."""
    return size_bytes >= _LARGE_BYTES
