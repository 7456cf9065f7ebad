"""The control plane over a real store and real files, with gateways that say what a test has them say."""

import asyncio
import contextlib
import tarfile
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.clock import ManualClock
from service.control.endpoints import endpoint_of
from service.control.reconcile import Reconciler
from service.control.registry import Operations
from service.control.resources import OperationContext
from service.domain.caller import Caller
from service.domain.endpoint import Endpoint, WarmReport, WarmState
from service.domain.kinds import Kind
from service.errors import ValidationFault
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.objects.resolver import Resolver
from service.store.members import GatewayReport
from service.store.store import Store
from service.wire import constraints
from service.wire.shapes import compile_writer
from service.wire.spec import Service, Shape, load_service

CALLER = Caller("000000000000", "us-east-1")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
DATA = "s3://models/one.tar.gz"
ROLE = "arn:aws:iam::000000000000:role/anyone"
PACKAGE_OF_OTHERS = "arn:aws:sagemaker:us-east-1:865070037744:model-package/iris"
INSTANCES = {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


@cache
def sagemaker() -> Service:
    """The service's model; it takes a second to load."""
    return load_service("sagemaker")


def arn(kind: Kind, name: str) -> str:
    """The ARN of a resource of the tests' account and region."""
    return CALLER.arns.arn(kind.row.arn_part, name)


def variant(name: str = "a", model: str = "one", **more: Any) -> dict[str, Any]:
    """A production variant; `ServerlessConfig` takes the place of instances."""
    capacity: Mapping[str, Any] = {} if {"ServerlessConfig", "InstancePools"} & more.keys() else INSTANCES
    return {"VariantName": name, "ModelName": model, **capacity, **more}


class Control:
    """The control plane; what it is asked and what it answers are held to the service's model.

    Models' data lie below `buckets`. No gateway lives until it has reported.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.buckets = folder / "data" / "s3"
        self.clock = ManualClock(NOON)
        artifacts = ArtifactStore(
            [folder / "data"],
            folder / "unpacked",
            Limits(2**30, 1000, 100.0),
            resolver=Resolver(self.buckets),
        )
        self.context = OperationContext(CALLER, self.clock, artifacts.version_of)
        self.store = Store(folder / "state.db")

    def reopen(self) -> None:
        """Have the store closed and opened again, as a restart does."""
        self.store.close()
        self.store = Store(self.folder / "state.db")

    def upload(self, uri: str = DATA) -> None:
        """Put an archive at an s3:// address."""
        path = self.buckets / uri.removeprefix("s3://")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz"):
            pass

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:
        """Run one operation; what it answers, {} for those that answer nothing."""
        shapes = sagemaker().operations[operation]
        if shapes.input is not None:
            constraints.check(constraints.compile_checker(shapes.input), fields)
        operations = Operations(self.store, self.context)
        answer = asyncio.run(operations.call(CALLER, "sagemaker", operation, fields))
        assert (answer is None) is (shapes.output is None)
        if answer is None or shapes.output is None:
            return {}
        check_answer(shapes.output, answer)
        return dict(answer)

    def refusal(self, operation: str, **fields: Any) -> str:
        """The sentence that a call is refused with; it has changed nothing."""
        before = self.store.changes_since(0)
        with pytest.raises(ValidationFault) as caught:
            self.call(operation, **fields)
        assert self.store.changes_since(0) == before
        return caught.value.message

    def create_model(self, name: str = "one", **container: Any) -> dict[str, Any]:
        """Create a model of one container whose archive is there."""
        self.upload()
        container = {"Image": IMAGE, "ModelDataUrl": DATA, **container}
        return self.call("CreateModel", ModelName=name, PrimaryContainer=container)

    def create_config(self, name: str = "config", *variants: Mapping[str, Any], **more: Any) -> None:
        """Create a configuration, of one variant `a` unless others are given."""
        self.call(
            "CreateEndpointConfig",
            EndpointConfigName=name,
            ProductionVariants=list(variants) or [variant()],
            **more,
        )

    def create_endpoint(self, name: str = "iris", config: str = "config", **more: Any) -> None:
        """Create an endpoint; its configuration must be there."""
        self.call("CreateEndpoint", EndpointName=name, EndpointConfigName=config, **more)

    def serve(self, *variants: Mapping[str, Any], name: str = "iris", **more: Any) -> None:
        """Bring an endpoint into service, with its model, its configuration `config` and one gateway."""
        if self.store.get(Kind.MODEL, "one") is None:
            self.create_model()
        self.create_config("config", *variants, **more)
        self.create_endpoint(name)
        self.settle()
        assert self.describe(name)["EndpointStatus"] == "InService"

    def describe(self, name: str = "iris") -> dict[str, Any]:
        """What DescribeEndpoint says."""
        return self.call("DescribeEndpoint", EndpointName=name)

    def variants(self, name: str = "iris") -> dict[str, dict[str, Any]]:
        """What DescribeEndpoint says of each production variant."""
        return {one["VariantName"]: one for one in self.describe(name)["ProductionVariants"]}

    def endpoint(self, name: str = "iris") -> Endpoint:
        """The endpoint as the store has it."""
        resource = self.store.get(Kind.ENDPOINT, name)
        assert resource is not None
        return endpoint_of(resource)

    def report(
        self, state: WarmState = WarmState.WARM, reason: str = "", pid: int = 1, revision: int | None = None
    ) -> None:
        """Have one gateway follow the store (`revision`: only so far) and report on every fleet."""
        words = [
            WarmReport(resource.name, fleet.generation, variant.name, state, reason)
            for resource in self.store.of_kind(Kind.ENDPOINT)
            for fleet in endpoint_of(resource).fleets
            for variant in fleet.variants
            if variant.eager
        ]
        seen = self.store.revision() if revision is None else revision
        self.store.report(GatewayReport(str(pid), seen, tuple(words)))

    def keep(self, alive: Collection[int] | None = None) -> int:
        """One round of the keeper; how many endpoints moved. All gateways live unless `alive` names some."""
        one = Reconciler(self.store, self.context, lambda member, beat: alive is None or int(member) in alive)
        return one.look()

    def settle(self, state: WarmState = WarmState.WARM, reason: str = "") -> None:
        """One gateway reports and the keeper makes its rounds, until nothing moves any more."""
        self.report(state, reason)
        while self.keep():
            self.report(state, reason)

    def names(self, kind: Kind) -> list[str]:
        """The names of the resources of a kind."""
        return [resource.name for resource in self.store.of_kind(kind)]


def check_answer(shape: Shape, answer: Mapping[str, Any]) -> None:
    """Whether an answer is one that the model allows: no violation, and nothing that it does not know."""
    constraints.check(constraints.compile_checker(shape), answer)
    assert _shaped(compile_writer(shape)(answer)) == _shaped(answer)


def _shaped(value: Any) -> Any:
    """A value's members and items without its scalars, which the wire writes otherwise."""
    if isinstance(value, Mapping):
        return {name: _shaped(one) for name, one in value.items()}
    return [_shaped(one) for one in value] if isinstance(value, list) else None


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Control]:
    """A control plane that is closed again."""
    control = Control(folder)
    yield control
    control.store.close()


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """An empty control plane."""
    with opened(tmp_path) as one:
        yield one
