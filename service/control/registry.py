"""Which function answers which operation, and the transaction that it runs in."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from service.control import (
    endpoint_configs,
    endpoints,
    model_packages,
    models,
    package_groups,
    search,
    tags,
    transform_jobs,
)
from service.control.describe_endpoint import describe_endpoint
from service.control.listing import list_resources
from service.control.ownership import check_editable
from service.control.resources import OperationContext, ResourceReader, Resources
from service.domain import sentences, unserved
from service.domain.caller import Caller
from service.domain.kinds import Kind
from service.errors import UnknownOperation
from service.store.store import Store

Fields = Mapping[str, Any]
OperationOutput = Mapping[str, Any] | None
AnswerOperation = Callable[[Caller, str, Fields], OperationOutput]
"""Runs an operation of a service that keeps its own; it may wait for the disk. Raises as `call` does."""


@dataclass(frozen=True, slots=True)
class _Read:
    call: Callable[[ResourceReader, Fields], OperationOutput]


@dataclass(frozen=True, slots=True)
class _Write:
    call: Callable[[Resources, Fields], OperationOutput]


def _listed(kind: Kind) -> _Read:
    return _Read(lambda resources, fields: list_resources(resources, kind, fields))


def _delete(kind: Kind, resources: Resources, fields: Fields) -> None:
    """Delete what nothing else waits for. Used or not: AWS does not ask either (contract C.6)."""
    name = fields[kind.row.name]
    check_editable(resources, resources.get(kind, name))
    resources.delete(kind, name)


_OWN = "sagemaker"
_SAGEMAKER: Mapping[str, _Read | _Write] = {
    "CreateModel": _Write(models.create_model),
    "DescribeModel": _Read(models.describe_model),
    "DeleteModel": _Write(partial(_delete, Kind.MODEL)),
    "ListModels": _listed(Kind.MODEL),
    "CreateEndpointConfig": _Write(endpoint_configs.create_endpoint_config),
    "DescribeEndpointConfig": _Read(endpoint_configs.describe_endpoint_config),
    "DeleteEndpointConfig": _Write(partial(_delete, Kind.ENDPOINT_CONFIG)),
    "ListEndpointConfigs": _listed(Kind.ENDPOINT_CONFIG),
    "CreateEndpoint": _Write(endpoints.create_endpoint),
    "DescribeEndpoint": _Read(describe_endpoint),
    "UpdateEndpoint": _Write(endpoints.update_endpoint),
    "UpdateEndpointWeightsAndCapacities": _Write(endpoints.update_weights_and_capacities),
    "DeleteEndpoint": _Write(endpoints.delete_endpoint),
    "ListEndpoints": _listed(Kind.ENDPOINT),
    "CreateTransformJob": _Write(transform_jobs.create_transform_job),
    "DescribeTransformJob": _Read(transform_jobs.describe_transform_job),
    "ListTransformJobs": _Read(transform_jobs.list_transform_jobs),
    "StopTransformJob": _Write(transform_jobs.stop_transform_job),
    "CreateModelPackageGroup": _Write(package_groups.create_group),
    "DescribeModelPackageGroup": _Read(package_groups.describe_group),
    "DeleteModelPackageGroup": _Write(package_groups.delete_group),
    "ListModelPackageGroups": _Read(package_groups.list_groups),
    "PutModelPackageGroupPolicy": _Write(package_groups.put_policy),
    "GetModelPackageGroupPolicy": _Read(package_groups.get_policy),
    "DeleteModelPackageGroupPolicy": _Write(package_groups.delete_policy),
    "CreateModelPackage": _Write(model_packages.create_package),
    "DescribeModelPackage": _Read(model_packages.describe_package),
    "BatchDescribeModelPackage": _Read(model_packages.batch_describe_packages),
    "UpdateModelPackage": _Write(model_packages.update_package),
    "DeleteModelPackage": _Write(model_packages.delete_package),
    "ListModelPackages": _Read(model_packages.list_packages),
    "Search": _Read(search.search),
    "AddTags": _Write(tags.add_tags),
    "ListTags": _Read(tags.list_tags),
    "DeleteTags": _Write(tags.delete_tags),
}

_OF_TAGS = frozenset(("AddTags", "ListTags", "DeleteTags"))

SERVED = frozenset(_SAGEMAKER)
"""The operations of sagemaker that are served."""

_OPERATIONS: Mapping[tuple[str, str], _Read | _Write] = {
    **{(_OWN, name): operation for name, operation in _SAGEMAKER.items()},
}


class Operations:
    """Runs operations on the store, each in one transaction."""

    def __init__(
        self,
        store: Store,
        context: OperationContext,
        others: Mapping[str, AnswerOperation] = MappingProxyType({}),
    ) -> None:
        """`others` answer the other operations of services, by their rows of the table of services."""
        self._store = store
        self._context = context
        self._others = others

    async def call(self, caller: Caller, service: str, name: str, fields: Fields) -> OperationOutput:
        """Run one operation of a service on checked fields, on behalf of its caller.

        Raises:
            UnknownOperation: it is not served.
            CallerError: the operation's own refusals; nothing was changed.
        """
        operation = _OPERATIONS.get((service, name))
        if service in self._others and (operation is None or _is_about_others(name, fields)):
            return await asyncio.to_thread(self._others[service], caller, name, fields)
        if name == "Search" and service == _OWN and not search.is_searched(fields):
            raise UnknownOperation(sentences.operation_not_served(f"Search of {fields['Resource']}"))
        if operation is None and service != _OWN:
            raise unserved.refusal(service, service, name)
        if operation is None:
            raise UnknownOperation(sentences.operation_not_served(name))
        context = self._context.of(caller)
        return await asyncio.to_thread(self._run, operation, context, fields)

    def _run(self, operation: _Read | _Write, context: OperationContext, fields: Fields) -> OperationOutput:
        if isinstance(operation, _Write):
            with self._store.change() as change:
                return operation.call(Resources(change, context), fields)
        with self._store.view() as view:
            return operation.call(ResourceReader(view, context), fields)


def _is_about_others(name: str, fields: Fields) -> bool:
    """Whether tags are those of a resource that others keep, or such resources are searched."""
    if name == "Search":
        return not search.is_searched(fields)
    return name in _OF_TAGS and not tags.is_ours(fields["ResourceArn"])
