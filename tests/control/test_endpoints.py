from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.arn import Arns
from service.clock import ManualClock
from service.control.endpoints import (
    create_endpoint,
    delete_endpoint,
    endpoint_of,
    save_endpoint,
    update_endpoint,
    variants_of,
)
from service.control.resources import Resources
from service.domain.endpoint import EndpointStatus, Fleet, ModelSource, Variant, WarmReport, WarmState
from service.domain.kinds import Kind
from service.errors import ValidationFault
from service.store.store import Store

ARNS = Arns("000000000000", "us-east-1")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def resources(store: Store, clock: ManualClock) -> Iterator[Resources]:
    with store.change() as change:
        yield Resources(change, ARNS, clock)


def make_config(resources: Resources, name: str, **more: Any) -> None:
    container: Mapping[str, Any] = {"Image": "x", "ModelDataUrl": f"file:///m/{name}", **more}
    resources.create(Kind.MODEL, {"ModelName": f"model-{name}", "PrimaryContainer": container})
    variants = [
        {"VariantName": "a", "ModelName": f"model-{name}", "InitialVariantWeight": 0},
        {"VariantName": "b", "ModelName": f"model-{name}"},
    ]
    resources.create(Kind.ENDPOINT_CONFIG, {"EndpointConfigName": name, "ProductionVariants": variants})


def request(config: str) -> dict[str, str]:
    return {"EndpointName": "iris", "EndpointConfigName": config}


def bring_into_service(resources: Resources) -> None:
    resource = resources.get(Kind.ENDPOINT, "iris")
    endpoint = endpoint_of(resource)
    assert endpoint.pending is not None
    warm = [WarmReport("iris", endpoint.pending.generation, v, WarmState.WARM) for v in ("a", "b")]
    save_endpoint(resources, resource, endpoint.settle([warm]))


def test_a_new_endpoint_prepares_the_fleet_of_its_configuration(resources: Resources) -> None:
    make_config(resources, "one", Environment={"Z": "1", "A": "2"})

    create_endpoint(resources, request("one"))

    resource = resources.get(Kind.ENDPOINT, "iris")
    source = ModelSource("file:///m/one", environment=(("A", "2"), ("Z", "1")))
    endpoint = endpoint_of(resource)
    assert endpoint.pending is not None
    assert endpoint.pending.variants == (Variant("a", 0, source), Variant("b", 1.0, source))
    assert endpoint.active is None
    assert (resource.status, resource.declared) == ("Creating", False)
    assert (resource.created_at, resource.modified_at) == (NOON, NOON)


def test_variants_know_what_aws_does_not(resources: Resources) -> None:
    make_config(resources, "many", Mode="MultiModel")
    config = resources.get(Kind.ENDPOINT_CONFIG, "many")
    resources.put(type(config)(**{**_fields(config), "state": {"b": {"lazy": True, "pin": True}}}))

    a, b = variants_of(resources, "many")

    assert (a.lazy, a.pin, a.source.multi) == (False, False, True)
    assert (b.lazy, b.pin, b.source.multi) == (True, True, True)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


@pytest.mark.provenance("observed")
def test_an_endpoint_needs_its_configuration_and_its_models(resources: Resources) -> None:
    with pytest.raises(ValidationFault) as caught:
        create_endpoint(resources, request("none"))
    arn = "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/none"
    assert caught.value.message == f'Could not find endpoint configuration "{arn}".'

    make_config(resources, "one")
    resources.delete(Kind.MODEL, "model-one")
    with pytest.raises(ValidationFault, match=r'^Could not find model ".*:model/model-one"\.$'):
        create_endpoint(resources, request("one"))

    assert resources.all(Kind.ENDPOINT) == []


@pytest.mark.provenance("observed")
def test_a_name_is_taken_once(resources: Resources) -> None:
    make_config(resources, "one")
    create_endpoint(resources, request("one"))

    with pytest.raises(ValidationFault, match=r'^Cannot create already existing endpoint "arn:.*/iris"\.$'):
        create_endpoint(resources, request("one"))


@pytest.mark.provenance("observed")
def test_a_change_under_way_has_to_end_first(resources: Resources) -> None:
    make_config(resources, "one")
    make_config(resources, "two")
    create_endpoint(resources, request("one"))

    with pytest.raises(ValidationFault, match=r'^Cannot update in-progress endpoint "arn:.*/iris"\.$'):
        update_endpoint(resources, "iris", "two")

    update_endpoint(resources, "iris", "two", force=True)
    pending = endpoint_of(resources.get(Kind.ENDPOINT, "iris")).pending
    assert pending is not None
    assert pending.config_name == "two"


def test_an_update_prepares_another_fleet_while_the_old_one_serves(
    resources: Resources, clock: ManualClock
) -> None:
    make_config(resources, "one")
    make_config(resources, "two")
    create_endpoint(resources, request("one"))
    bring_into_service(resources)
    clock.advance(60)

    update_endpoint(resources, "iris", "two")

    resource = resources.get(Kind.ENDPOINT, "iris")
    endpoint = endpoint_of(resource)
    assert endpoint.status is EndpointStatus.UPDATING
    assert endpoint.active is not None
    assert endpoint.pending is not None
    assert (endpoint.active.config_name, endpoint.pending.config_name) == ("one", "two")
    assert resource.document == request("two")
    assert (resource.modified_at - resource.created_at).total_seconds() == 60


@pytest.mark.provenance("observed")
def test_what_is_not_there_cannot_be_changed(resources: Resources) -> None:
    for change in (
        lambda: update_endpoint(resources, "iris", "one"),
        lambda: delete_endpoint(resources, "iris"),
    ):
        with pytest.raises(ValidationFault, match=r'^Could not find endpoint "arn:.*:endpoint/iris"\.$'):
            change()


def test_a_namesake_of_a_deleted_endpoint_has_generations_of_its_own(
    store: Store, clock: ManualClock
) -> None:
    fleets: list[Fleet] = []
    with store.change() as change:
        make_config(Resources(change, ARNS, clock), "one")
    for _ in range(3):
        with store.change() as change:
            endpoint = endpoint_of(create_endpoint(Resources(change, ARNS, clock), request("one")))
            assert endpoint.pending is not None
            fleets.append(endpoint.pending)
        with store.change() as change:
            delete_endpoint(Resources(change, ARNS, clock), "iris")

    assert len({fleet.generation for fleet in fleets}) == 3


def test_one_resource_of_a_kind_is_found_or_not(resources: Resources) -> None:
    make_config(resources, "one")

    assert resources.find(Kind.MODEL, "model-one") == resources.get(Kind.MODEL, "model-one")
    assert resources.find(Kind.ENDPOINT, "model-one") is None
    assert [resource.name for resource in resources.all(Kind.MODEL)] == ["model-one"]
