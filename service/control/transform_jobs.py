"""The rules of transform jobs that generic resources lack: what may be asked, where a job's model is, stops.

Jobs are only written down here, each with its first task; workers do them.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from service.control.deployables import (
    container_location,
    containers_of,
    is_direct,
    is_multi,
    names_of,
    obstacle_of,
    running_document,
)
from service.control.listing import list_resources
from service.control.resources import ResourceReader, Resources
from service.domain import obstacles, sentences
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.transform.document import options_of
from service.domain.transform.job import Drop, JobStage, JobState, JobStatus
from service.domain.transform.names import stored_name
from service.domain.transform.options import GZIP, LINE, NONE, S3_PREFIX, check_options
from service.errors import ModelFault, ResourceInUse, ValidationFault
from service.media.types import CSV, JSON_LINES, OF_TEXT_ENDING

_FOR_DROPS: Final = "local"
# Source: contract Z.38, observed.
_DEFAULTS: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "TransformInput": {"CompressionType": NONE, "SplitType": NONE},
        "TransformOutput": {"AssembleWith": NONE, "KmsKeyId": ""},
        "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": NONE},
    }
)


def create_transform_job(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """CreateTransformJob. A model that cannot run here is taken as AWS takes it, and fails the job.

    Raises:
        ValidationFault: options that cannot work, there is no such model, or AWS takes none of its kind.
        ResourceInUse: there is a job of that name.
    """
    _check_new(resources, fields["TransformJobName"])
    check_options(options_of(fields))
    model = resources.get(Kind.MODEL, fields["ModelName"])
    if any("ModelDataSource" in container for container in containers_of(running_document(model))):
        raise ValidationFault(sentences.batch_of_data_source())
    return _create(resources, fields, _model_state(resources, model))


def create_drop_job(resources: Resources, drop: Drop) -> dict[str, Any]:
    """Make the job of a dropped file: the model by its name, else the one in the folder of models.

    Raises:
        ResourceInUse: there is a job of that name.
    """
    _check_new(resources, drop.job)
    model = resources.find(Kind.MODEL, drop.model)
    state = JobState(location=drop.model) if model is None else _model_state(resources, model)
    return _create(
        resources, _drop_document(drop), replace(state, dropped=stored_name(f"{drop.model}/{drop.name}"))
    )


def describe_transform_job(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeTransformJob: what was asked for with the defaults that AWS fills in, and how it went."""
    resource = resources.get(Kind.TRANSFORM_JOB, fields["TransformJobName"])
    state = JobState.read(resource.state)
    document = resources.described(Kind.TRANSFORM_JOB, resource.name)
    found = {
        **document,
        **{member: defaults | document.get(member, {}) for member, defaults in _DEFAULTS.items()},
        "TransformJobStatus": resource.status,
        "FailureReason": _reason(resource),
        "TransformStartTime": state.began,
        "TransformEndTime": state.ended,
    }
    return {member: value for member, value in found.items() if value is not None}


def list_transform_jobs(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """ListTransformJobs: summaries also tell when a job ended, and why it failed."""
    return list_resources(resources, Kind.TRANSFORM_JOB, fields, _more)


def stop_transform_job(resources: Resources, fields: Mapping[str, Any]) -> None:
    """StopTransformJob: InProgress becomes Stopping, and Stopped when the last worker has let go of it.

    Raises:
        ValidationFault: there is none, or it has ended already.
    """
    resource = resources.get(Kind.TRANSFORM_JOB, fields["TransformJobName"])
    if JobStatus(resource.status).is_final:
        raise ValidationFault(
            sentences.job_ended(resource.status, resources.arn(resource.kind, resource.name))
        )
    if resource.status == JobStatus.IN_PROGRESS:
        now = resources.clock.now()
        resources.put(replace(resource, status=JobStatus.STOPPING, modified_at=now))
        resources.tasks.stop(resource.name, now)


def _check_new(resources: Resources, name: str) -> None:
    if resources.find(Kind.TRANSFORM_JOB, name) is not None:
        arn = resources.arn(Kind.TRANSFORM_JOB, name)
        raise ResourceInUse(sentences.already_exists(Kind.TRANSFORM_JOB.row.words, arn))


def _create(resources: Resources, fields: Mapping[str, Any], state: JobState) -> dict[str, Any]:
    created = resources.create(Kind.TRANSFORM_JOB, fields)
    resources.put(replace(created, status=JobStatus.IN_PROGRESS, state=state.write()))
    resources.tasks.add(created.name, created.created_at)
    return {"TransformJobArn": resources.arn(Kind.TRANSFORM_JOB, created.name)}


def _model_state(resources: Resources, model: Resource) -> JobState:
    """Where a model is now, so that the job can do without its record later."""
    running = running_document(model)
    containers = containers_of(running)
    obstacle = obstacle_of(containers, resources.context.runs_images)
    if any(map(is_multi, containers)):
        obstacle = obstacle or obstacles.many_models_cannot_transform()
    if is_direct(running):
        obstacle = obstacle or obstacles.direct_cannot_transform()
    stages = tuple(
        JobStage(
            name,
            container_location(container),
            dict(container.get("Environment", {})),
            container.get("Image", ""),
        )
        for name, container in zip(names_of(containers), containers, strict=True)
    )
    obstacle = obstacle or _missing(resources, stages)
    if len(stages) > 1:
        return JobState(obstacle=obstacle, stages=stages)
    (only,) = stages
    return JobState(only.location, only.environment, obstacle, image=only.image)


def _missing(resources: Resources, stages: tuple[JobStage, ...]) -> str:
    """Which of the models has no data where they should be, "" if all are there."""
    for number, stage in enumerate(stages, 1):
        try:
            if stage.location:
                resources.context.version_of(stage.location)
        except ModelFault:
            return sentences.model_data_not_downloaded(stage.location, number)
    return ""


def _drop_document(drop: Drop) -> dict[str, Any]:
    """A job as AWS would have it: a file's ending tells its type; what comes out is of the same."""
    name = drop.name.lower()  # JUNE.CSV too
    zipped = name.endswith(".gz")
    plain = name.removesuffix(".gz")
    kind = next((kind for ending, kind in OF_TEXT_ENDING.items() if plain.endswith(ending)), None)
    given: dict[str, Any] = {
        "DataSource": {"S3DataSource": {"S3DataType": S3_PREFIX, "S3Uri": drop.source}},
        "CompressionType": GZIP if zipped else NONE,
        "SplitType": LINE if kind in (CSV, JSON_LINES) else NONE,
    }
    wanted: dict[str, Any] = {"S3OutputPath": drop.target}
    if kind is not None:
        given["ContentType"] = wanted["Accept"] = kind
    return {
        "TransformJobName": drop.job,
        "ModelName": drop.model,
        "TransformInput": given,
        "TransformOutput": wanted,
        "TransformResources": {"InstanceType": _FOR_DROPS, "InstanceCount": 1},
    }


def _more(resource: Resource) -> dict[str, Any]:
    ended = JobState.read(resource.state).ended
    more: dict[str, Any] = {} if ended is None else {"TransformEndTime": ended}
    reason = _reason(resource)
    if reason is not None:
        more["FailureReason"] = reason
    return more


def _reason(resource: Resource) -> str | None:
    return sentences.job_failed(resource.failure_reason) if resource.failure_reason else None
