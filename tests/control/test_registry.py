import asyncio
from typing import Any

import pytest

from service.access.sessions import SessionMaker
from service.control.registry import SERVED, Operations
from service.control.resources import OperationContext
from service.control.sts import StsOperations
from service.domain.caller import Caller
from service.domain.kinds import Kind
from service.errors import UnknownOperation, ValidationFault
from service.store.store import Store
from tests.control.conftest import CALLER, Control, sagemaker, variant

_ENDPOINT = {"EndpointName": "iris", "EndpointConfigName": "config"}


def call(control: Control, operation: str, **fields: Any) -> Any:
    operations = Operations(control.store, control.context)
    return asyncio.run(operations.call(CALLER, "sagemaker", operation, fields))


@pytest.mark.provenance("botocore")
def test_every_operation_that_is_served_is_in_the_model() -> None:
    assert sagemaker().operations.keys() >= SERVED
    assert len(SERVED) == 35


@pytest.mark.provenance("guess")
@pytest.mark.parametrize("name", ["CreateAlgorithm", "NoSuchThing", "call", ""])
def test_an_operation_that_is_not_served_says_so_by_name(control: Control, name: str) -> None:
    with pytest.raises(UnknownOperation, match=f"^Operation {name} is not served by sagebird yet"):
        call(control, name)


def test_what_reads_moves_nothing(control: Control) -> None:
    control.serve()
    before = control.store.changes_since(0)
    arn = control.describe()["EndpointArn"]

    for kind, name in ((Kind.MODEL, "one"), (Kind.ENDPOINT_CONFIG, "config"), (Kind.ENDPOINT, "iris")):
        control.call(f"Describe{kind.row.name.removesuffix('Name')}", **{kind.row.name: name})
        control.call(f"List{kind.row.list}")
    control.call("ListTags", ResourceArn=arn)

    assert control.store.changes_since(0) == before


def test_what_writes_moves_the_revision_by_one(control: Control) -> None:
    control.create_model()
    for change in (
        lambda: control.create_config("config", variant("a"), variant("b")),
        control.create_endpoint,
        lambda: control.call("DeleteModel", ModelName="one"),
    ):
        before = control.store.revision()
        change()
        assert control.store.revision() == before + 1


def test_a_change_that_is_refused_midway_leaves_nothing_of_itself(control: Control) -> None:
    control.create_model()
    control.create_config()
    control.call("DeleteModel", ModelName="one")
    before = control.store.changes_since(0)

    with pytest.raises(ValidationFault):  # after the resource was made, while its variants are looked up
        call(control, "CreateEndpoint", EndpointName="iris", EndpointConfigName="config")

    assert control.store.changes_since(0) == before


def test_a_change_that_breaks_midway_leaves_nothing_of_itself(control: Control) -> None:
    control.create_model()
    control.create_config()
    before = control.store.changes_since(0)

    def break_down(_location: str) -> str:
        raise ZeroDivisionError

    operations = Operations(control.store, OperationContext(CALLER, control.clock, break_down))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(operations.call(CALLER, "sagemaker", "CreateEndpoint", _ENDPOINT))

    assert control.store.changes_since(0) == before


def test_what_was_answered_is_there_for_whoever_opens_the_store_next(control: Control) -> None:
    control.create_model()

    other = Store(control.folder / "state.db")

    assert [model.name for model in other.of_kind(Kind.MODEL)] == ["one"]
    other.close()


def test_a_call_does_not_hold_up_the_event_loop(control: Control) -> None:
    control.create_model()
    control.create_config()
    loop_ran = asyncio.Event()

    def wait_for_the_loop(_location: str) -> str:
        async def touch() -> None:
            loop_ran.set()

        asyncio.run_coroutine_threadsafe(touch(), loop).result(60)
        return ""

    async def run() -> None:
        operations = Operations(control.store, OperationContext(CALLER, control.clock, wait_for_the_loop))
        await operations.call(CALLER, "sagemaker", "CreateEndpoint", _ENDPOINT)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(run())
    assert loop_ran.is_set()


def test_arns_are_those_of_who_calls(control: Control) -> None:
    control.create_model()
    sts = StsOperations(SessionMaker(None), control.clock)
    operations = Operations(control.store, control.context, {"sts": sts.answer})
    someone = Caller("123456789012", "cn-north-1", "alice")

    def ask(service: str, operation: str, **fields: Any) -> Any:
        return asyncio.run(operations.call(someone, service, operation, fields))

    arn = "arn:aws-cn:sagemaker:cn-north-1:123456789012:model/one"
    assert ask("sagemaker", "DescribeModel", ModelName="one")["ModelArn"] == arn
    assert [model["ModelArn"] for model in ask("sagemaker", "ListModels")["Models"]] == [arn]
    with pytest.raises(ValidationFault, match=f"{arn}x"):
        ask("sagemaker", "DescribeModel", ModelName="onex")
    assert ask("sts", "GetCallerIdentity") == {
        "Account": "123456789012",
        "Arn": "arn:aws-cn:sts::123456789012:assumed-role/sagebird/alice",
        "UserId": "AROASAGEBIRD000000000:alice",
    }
    assert control.call("DescribeModel", ModelName="one")["ModelArn"] != arn
