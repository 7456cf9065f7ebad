"""Several processes' worth of callers at the same names, each with a store of its own over one database."""

import asyncio
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Barrier, Event
from typing import Any

import pytest

from service.control.reconcile import Reconciler
from service.control.registry import Operations
from service.domain.endpoint import EndpointStatus
from service.domain.kinds import Kind
from service.errors import Unavailable, ValidationFault
from service.store.store import Store
from tests.control.conftest import CALLER, DATA, IMAGE, Control, variant

CALLERS = 2
WAIT_S = 120
MODEL = {"ModelName": "one", "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": DATA}}
NEW_CONFIG = {"EndpointConfigName": "new", "ProductionVariants": [variant()]}
ENDPOINT = {"EndpointName": "iris", "EndpointConfigName": "config"}

Ask = Callable[[str, dict[str, Any]], str]
"""Runs an operation; "" or the sentence that it is refused with."""


@pytest.fixture
def callers(control: Control) -> Iterator[list[Ask]]:
    def caller(store: Store) -> Ask:
        operations = Operations(store, control.context)

        def ask(operation: str, fields: dict[str, Any]) -> str:
            try:
                asyncio.run(operations.call(CALLER, "sagemaker", operation, fields))
            except (ValidationFault, Unavailable) as error:
                return error.message
            return ""

        return ask

    with ExitStack() as stack:
        stores = [stack.enter_context(closing(Store(control.folder / "state.db"))) for _ in range(CALLERS)]
        yield [caller(store) for store in stores]


def at_once(callers: list[Ask], operation: str, fields: dict[str, Any]) -> list[str]:
    """What each caller is told, in the order of sentences: success first."""
    barrier = Barrier(len(callers))

    def ask(caller: Ask) -> str:
        barrier.wait(WAIT_S)
        return caller(operation, fields)

    with ThreadPoolExecutor(len(callers)) as pool:
        return sorted(pool.map(ask, callers))


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_that_create_the_same_name_one_wins(
    control: Control, callers: list[Ask], attempt: int
) -> None:
    control.upload()
    assert at_once(callers, "CreateModel", MODEL)[0] == ""
    control.create_config()

    for operation, fields in (("CreateEndpointConfig", NEW_CONFIG), ("CreateEndpoint", ENDPOINT)):
        won, lost = at_once(callers, operation, fields)
        assert won == ""
        assert lost.startswith("Cannot create already existing endpoint")

    assert control.names(Kind.ENDPOINT) == ["iris"]
    control.settle()
    assert control.describe()["EndpointStatus"] == "InService"


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_that_change_the_same_endpoint_one_wins(
    control: Control, callers: list[Ask], attempt: int
) -> None:
    control.serve()
    weights = {
        "EndpointName": "iris",
        "DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredWeight": 2}],
    }

    for operation, fields in (
        ("UpdateEndpoint", ENDPOINT),
        ("UpdateEndpointWeightsAndCapacities", weights),
        ("DeleteEndpoint", {"EndpointName": "iris"}),
    ):
        generation = control.endpoint().generation
        won, lost = at_once(callers, operation, fields)
        assert won == ""
        assert lost.startswith("Cannot update in-progress endpoint")
        assert control.endpoint().generation - generation == (operation == "UpdateEndpoint")
        control.settle()

    assert control.names(Kind.ENDPOINT) == []


def test_of_two_that_delete_the_same_thing_one_wins(control: Control, callers: list[Ask]) -> None:
    control.create_model()
    control.create_config()

    for operation, fields in (
        ("DeleteEndpointConfig", {"EndpointConfigName": "config"}),
        ("DeleteModel", {"ModelName": "one"}),
    ):
        won, lost = at_once(callers, operation, fields)
        assert won == ""
        assert lost.startswith("Could not find")


def test_tags_that_two_add_at_once_are_all_there(control: Control, callers: list[Ask]) -> None:
    control.create_model()
    arn = control.call("DescribeModel", ModelName="one")["ModelArn"]
    numbered = list(enumerate(callers))

    def add(one: tuple[int, Ask]) -> list[str]:
        number, ask = one
        return [
            ask("AddTags", {"ResourceArn": arn, "Tags": [{"Key": f"{number}-{n}", "Value": ""}]})
            for n in range(10)
        ]

    with ThreadPoolExecutor(len(callers)) as pool:
        assert {answer for answers in pool.map(add, numbered) for answer in answers} == {""}
    assert len(control.call("ListTags", ResourceArn=arn)["Tags"]) == 10 * CALLERS


def test_whatever_callers_and_the_keeper_do_at_once_the_end_is_legal(
    control: Control, callers: list[Ask]
) -> None:
    control.create_model()
    control.create_config()
    over = Event()

    def call_at_random(seed: int, ask: Ask) -> list[str]:
        draw = random.Random(seed)
        answers = []
        for _ in range(60):
            name = {"EndpointName": draw.choice(["iris", "rose"])}
            config = {"EndpointConfigName": draw.choice(["config", "new"])}
            desired = {"DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredWeight": draw.random()}]}
            calls: list[tuple[str, dict[str, Any]]] = [
                ("CreateEndpoint", {**name, **config}),
                ("UpdateEndpoint", {**name, **config}),
                ("UpdateEndpointWeightsAndCapacities", {**name, **desired}),
                ("DeleteEndpoint", name),
                ("CreateEndpointConfig", NEW_CONFIG),
                ("DeleteEndpointConfig", {"EndpointConfigName": "new"}),
                ("DescribeEndpoint", name),
                ("ListEndpoints", {}),
            ]
            answers.append(ask(*draw.choice(calls)))
        return answers

    def keep() -> int:
        moved = 0
        with closing(Store(control.folder / "state.db")) as store:
            while not over.is_set():
                control.report()
                moved += Reconciler(store, control.context, lambda _member, _beat: True).look()
        return moved

    with ThreadPoolExecutor(CALLERS + 1) as pool:
        keeper = pool.submit(keep)
        try:
            answers = [one for told in pool.map(call_at_random, range(CALLERS), callers) for one in told]
        finally:
            over.set()
        moved = keeper.result(WAIT_S)

    beginnings = {" ".join(answer.split()[:2]) for answer in answers}
    assert beginnings <= {"", "Could not", "Cannot create", "Cannot update"}
    assert {"", "Could not", "Cannot create"} <= beginnings
    assert moved
    control.settle()
    for name in control.names(Kind.ENDPOINT):
        endpoint = control.endpoint(name)
        assert (endpoint.status, endpoint.pending, endpoint.awaited) == (
            EndpointStatus.IN_SERVICE,
            None,
            None,
        )
        control.describe(name)
