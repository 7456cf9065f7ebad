"""A transform job as it is ordered: the model's name, two addresses, options; looked up, checked and run.

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
from service.hosting.artifacts.submitted import open_code
from service.jobs.crew import Crew, ProcessCrew, ThreadCrew
from service.jobs.inputs import LEAST_BLOCK_BYTES, Input, find_inputs
from service.jobs.member import LocalRecruit, RemoteRecruit
from service.jobs.outcome import Outcome
from service.jobs.transform import Job, Watch, run_transform
from service.objects.store import ObjectStore
from service.objects.writing import remove_abandoned
from service.s3uri import parse_s3_uri
from service.settings import Settings

_URLS: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants transformed.

    `model`: a name of the model folder, a path, or the address of a running container. `environment`: the
    model's own; the options' wins over it. `guess_type` tells the ContentType by the first input's
    name, where the options leave it out.
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
class Workshop:
    """Where orders are done: the objects, the models, and how many processes may work at once."""

    objects: ObjectStore
    artifacts: ArtifactStore
    models: Path
    cpus: int
    most_bytes: int = 0


def open_workshop(settings: Settings, *, model_roots: Sequence[Path] = (), allow_paths: bool) -> Workshop:
    """A workshop over the settings' folders; `model_roots` are further folders that models may lie in."""
    return Workshop(
        ObjectStore(settings.buckets, allow_paths=allow_paths),
        open_artifacts(settings, model_roots),
        settings.models,
        settings.worker_processes,
        settings.model_memory,
    )


def run_order(order: Order, workshop: Workshop, watch: Watch) -> Outcome:
    """Check, look up, load, and run.

    Raises: ValidationFault where the order cannot be meant; ModelFault where the model cannot be loaded;
    ObjectFault where inputs cannot be found or outputs not be written.
    """
    target = workshop.objects.locate(order.target)
    inputs = find_inputs(workshop.objects, order.source, target, order.options)
    if order.guess_type and order.options.content_type is None:
        guessed = order.guess_type(inputs[0].spot.name.removesuffix(".gz"))
        order = replace(order, options=replace(order.options, content_type=guessed))
    order = replace(order, options=order.options.settled())
    check_options(order.options)
    remote = order.model.startswith(_URLS)
    remove_abandoned(target)
    with closing(_crew(order, workshop, inputs, remote=remote)) as crew:
        job = Job(inputs, target, order.options, crew, remote, order.quarantine, order.report)
        return run_transform(job, watch)


def _crew(order: Order, workshop: Workshop, inputs: Sequence[Input], *, remote: bool) -> Crew:
    options = order.options
    if remote and options.environment:
        raise ValidationFault("Environment cannot be given to a container that is already running.")
    if remote:
        return ThreadCrew(RemoteRecruit(order.model, options, order.quarantine), options)
    environment = {**order.environment, **options.container_environment()}
    model, code = _model_dir(order.model, workshop), open_code(workshop.artifacts, environment)
    recruit = LocalRecruit(model, environment, options, order.quarantine, workshop.most_bytes, code)
    size_bytes = sum(given.size_bytes for given in inputs)
    return ProcessCrew(recruit, count_processes(options, workshop.cpus, len(inputs), size_bytes))


def _model_dir(model: str, workshop: Workshop) -> Path:
    """The model's unpacked folder. Raises ModelFault."""
    if "/" in model:
        place = model if parse_s3_uri(model) else workshop.objects.locate(model).path
        return workshop.artifacts.open(workshop.artifacts.resolve(place))
    try:
        found = workshop.artifacts.resolve(model, within=workshop.models)
    except ModelNotFound as error:
        raise ModelNotFound(f"{error.message.removesuffix('.')} {workshop.models}.") from None
    return workshop.artifacts.open(found)


def count_processes(options: TransformOptions, cpus: int, files: int, size_bytes: int) -> int:
    """One for each processor unless told otherwise, and none that would have nothing to do."""
    wanted = options.max_concurrent_transforms or cpus
    return max(1, min(wanted, max(files, size_bytes // LEAST_BLOCK_BYTES)))
