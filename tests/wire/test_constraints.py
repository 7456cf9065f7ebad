from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import ValidationFault
from service.wire.constraints import Checker, check, compile_checker, fault
from service.wire.spec import Service, Shape

ShapeOf = Callable[..., Shape]

_VARIANT = {"VariantName": "A", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


def _checker(service: Service, operation: str) -> Checker:
    shape = service.operations[operation].input
    assert shape is not None
    return compile_checker(shape)


def _message(checker: Checker, value: Any) -> str:
    with pytest.raises(ValidationFault) as caught:
        check(checker, value)
    return caught.value.message


@pytest.fixture(scope="module")
def create_config(sagemaker: Service) -> Checker:
    return _checker(sagemaker, "CreateEndpointConfig")


@pytest.mark.provenance("documented")
def test_a_null_member_is_named(runtime: Service) -> None:
    assert _message(_checker(runtime, "InvokeEndpoint"), {"Body": b""}) == (
        "1 validation error detected: Value null at 'endpointName' failed to satisfy constraint: "
        "Member must not be null"
    )


@pytest.mark.provenance("observed")
def test_an_instance_type_that_does_not_exist_is_answered_as_aws_does(
    create_config: Checker, sagemaker: Service
) -> None:
    value = {"EndpointConfigName": "c", "ProductionVariants": [{**_VARIANT, "InstanceType": "local"}]}
    enum = sagemaker.operations["CreateEndpointConfig"].input
    assert enum is not None
    kinds = enum.members["ProductionVariants"].shape.item.shape.members["InstanceType"].shape.enum
    assert _message(create_config, value) == (
        "1 validation error detected: Value 'local' at 'productionVariants.1.member.instanceType' "
        f"failed to satisfy constraint: Member must satisfy enum value set: [{', '.join(kinds)}]"
    )


@pytest.mark.provenance("observed")
def test_length_comes_before_pattern_and_both_are_told(sagemaker: Service) -> None:
    name = "{{ ti.xcom_pull(task_ids='model_training')['Training']['TrainingJobName'] }}"
    model = sagemaker.operations["CreateModel"].input
    assert model is not None
    pattern = model.members["ModelName"].shape.pattern
    assert _message(compile_checker(model), {"ModelName": name}) == (
        f"2 validation errors detected: Value '{name}' at 'modelName' failed to satisfy constraint: "
        f"Member must have length less than or equal to 63; Value '{name}' at 'modelName' failed to satisfy "
        f"constraint: Member must satisfy regular expression pattern: {pattern}"
    )


@pytest.mark.provenance("observed")
def test_map_values_are_answered_in_one_sentence_without_their_keys(sagemaker: Service) -> None:
    job = sagemaker.operations["CreateTrainingJob"].input
    assert job is not None
    checker = compile_checker(job.members["HyperParameters"].shape)
    assert checker({"classes": "x" * 2501, "ok": "1"}, "hyperParameters") == [
        f"Value '{{classes={'x' * 2501}, ok=1}}' at 'hyperParameters' failed to satisfy constraint: "
        "Map value must satisfy constraint: [Member must have length less than or equal to 2500, "
        "Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: .*]"
    ]


@pytest.mark.provenance("observed")
def test_a_body_over_its_limit_is_not_echoed(runtime: Service) -> None:
    checker = _checker(runtime, "InvokeEndpoint")
    assert _message(checker, {"EndpointName": "e", "Body": bytes(6_291_457)}) == (
        "1 validation error detected: Value at 'body' failed to satisfy constraint: "
        "Member must have length less than or equal to 6291456"
    )


@pytest.mark.provenance("botocore")
def test_sensitive_text_is_not_echoed(runtime: Service) -> None:
    checker = _checker(runtime, "InvokeEndpoint")
    message = _message(checker, {"EndpointName": "e", "Body": b"", "CustomAttributes": "secret-é"})
    assert "secret" not in message
    assert message.startswith("1 validation error detected: Value at 'customAttributes' failed")


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("seconds", "rule"),
    [(59, "greater than or equal to 60"), (21601, "less than or equal to 21600")],
)
def test_numbers_have_their_range(runtime: Service, seconds: int, rule: str) -> None:
    checker = _checker(runtime, "InvokeEndpointAsync")
    value = {"EndpointName": "e", "InputLocation": "s3://b/k", "RequestTTLSeconds": seconds}
    assert _message(checker, value) == (
        f"1 validation error detected: Value '{seconds}' at 'requestTTLSeconds' failed to satisfy "
        f"constraint: Member must have value {rule}"
    )


def test_a_good_value_passes(create_config: Checker) -> None:
    check(create_config, {"EndpointConfigName": "c", "ProductionVariants": [_VARIANT], "Tags": []})


def test_a_weight_of_zero_is_a_weight(create_config: Checker) -> None:
    value = {
        "EndpointConfigName": "c",
        "ProductionVariants": [{**_VARIANT, "InitialVariantWeight": 0.0}],
    }
    check(create_config, value)


@pytest.mark.provenance("guess")
def test_list_items_and_map_keys_follow_the_map_values_example(shape_of: ShapeOf) -> None:
    shape = shape_of(
        In={"type": "structure", "members": {"Names": {"shape": "Names"}, "Flags": {"shape": "Flags"}}},
        Names={"type": "list", "member": {"shape": "Name"}, "min": 1},
        Flags={"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Flag"}},
        Name={"type": "string", "enum": ["a", "b"]},
        Flag={"type": "boolean"},
    )
    assert compile_checker(shape)({"Names": ["a", "x", None], "Flags": {"y": True, "a": False}}, "") == [
        "Value '[a, x, null]' at 'names' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must satisfy enum value set: [a, b]]",
        "Value null at 'names.3.member' failed to satisfy constraint: Member must not be null",
        "Value '{y=true, a=false}' at 'flags' failed to satisfy constraint: "
        "Map keys must satisfy constraint: [Member must satisfy enum value set: [a, b]]",
    ]
    assert compile_checker(shape)({"Names": []}, "") == [
        "Value '[]' at 'names' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1"
    ]


@pytest.mark.provenance("guess")
def test_structures_in_maps_and_lists_in_lists_have_their_path(shape_of: ShapeOf) -> None:
    shape = shape_of(
        In={"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Rows"}},
        Rows={"type": "list", "member": {"shape": "Row"}},
        Row={"type": "structure", "required": ["Id"], "members": {"Id": {"shape": "Text"}}},
        Text={"type": "string"},
    )
    assert compile_checker(shape)({"k": [{"Id": ""}, {}], "l": None}, "groups") == [
        "Value null at 'groups.k.member.2.member.id' failed to satisfy constraint: Member must not be null",
        "Value null at 'groups.l.member' failed to satisfy constraint: Member must not be null",
    ]


def test_what_holds_something_sensitive_is_not_echoed_either(shape_of: ShapeOf) -> None:
    shape = shape_of(
        In={"type": "list", "member": {"shape": "Row"}, "max": 0},
        Row={"type": "structure", "members": {"Id": {"shape": "Key"}, "Again": {"shape": "Row"}}},
        Key={"type": "string", "sensitive": True},
    )
    assert compile_checker(shape)([{"Id": "secret"}], "keys") == [
        "Value at 'keys' failed to satisfy constraint: Member must have length less than or equal to 0"
    ]


def test_a_shape_inside_itself_is_checked_at_every_depth(sagemaker: Service) -> None:
    search = sagemaker.operations["Search"].input
    assert search is not None
    table: dict[Shape, Checker] = {}
    checker = compile_checker(search, table)
    value = {
        "Resource": "Model",
        "SearchExpression": {"SubExpressions": [{"SubExpressions": [{"Operator": "Nor"}]}]},
    }
    assert compile_checker(search, table) is checker
    assert checker(value, "") == [
        "Value 'Nor' at 'searchExpression.subExpressions.1.member.subExpressions.1.member.operator' "
        "failed to satisfy constraint: Member must satisfy enum value set: [And, Or]"
    ]


def test_a_value_nested_without_end_is_refused(sagemaker: Service) -> None:
    expression: dict[str, Any] = {}
    for _ in range(5000):
        expression = {"SubExpressions": [expression]}
    message = _message(_checker(sagemaker, "Search"), {"Resource": "Model", "SearchExpression": expression})
    assert message == "The request is nested too deeply."


def test_the_checkers_of_all_operations_compile_into_one_table(sagemaker: Service) -> None:
    table: dict[Shape, Checker] = {}
    for operation in sagemaker.operations.values():
        if operation.input is not None:
            checker = compile_checker(operation.input, table)
            nulls = [member for member in operation.input.members if member in operation.input.required]
            assert len(checker({}, "")) == len(nulls)
    assert len(table) > 1000


def test_text_far_over_its_limit_is_not_matched(shape_of: ShapeOf) -> None:
    shape = shape_of(In={"type": "string", "max": 3, "min": 1, "pattern": "a*", "enum": ["aaa"]})
    checker = compile_checker(shape)
    assert len(checker("b" * 1024, "x")) == 3
    assert len(checker("b" * 1025, "x")) == 2
    assert checker("aaa", "x") == []
    unlimited = compile_checker(shape_of(In={"type": "string", "pattern": "a*"}))
    assert len(unlimited("b" * 20_000, "x")) == 1


def test_several_violations_are_counted() -> None:
    assert fault(["a", "b"]).message == "2 validation errors detected: a; b"
    assert fault(["a"]).code == "ValidationError"


def test_of_very_many_violations_the_first_are_listed() -> None:
    message = fault([f"violation {number:06}" for number in range(100_000)]).message
    assert message.startswith("100000 validation errors detected: violation 000000; violation 000001; ")
    assert message.endswith("violation 000999")
    assert len(fault(["a" * 100_000]).message) == 65_536


def test_a_huge_value_is_echoed_in_part(shape_of: ShapeOf) -> None:
    checker = compile_checker(shape_of(In={"type": "string", "max": 3}))
    violation = checker("b" * 100_000, "x")[0]
    assert violation.startswith("Value 'bbb")
    assert "b…' at 'x' failed" in violation
    assert len(violation) < 5000
    numbers = compile_checker(
        shape_of(In={"type": "list", "member": {"shape": "N"}, "max": 3}, N={"type": "long"})
    )
    assert len(numbers([7] * 100_000, "x")[0]) < 1000


def test_items_beyond_the_limit_of_a_list_are_not_looked_at(shape_of: ShapeOf) -> None:
    name = {"type": "structure", "members": {"N": {"shape": "Name"}}, "required": ["N"]}
    checker = compile_checker(
        shape_of(
            In={"type": "list", "member": {"shape": "Item"}, "max": 2}, Item=name, Name={"type": "string"}
        )
    )
    assert len(checker([{}, {}, {}], "x")) == 3
    assert len(checker([{}, {}], "x")) == 2


def test_an_endless_list_is_not_worked_through(shape_of: ShapeOf) -> None:
    name = {"type": "structure", "members": {"N": {"shape": "Name"}}, "required": ["N"]}
    checker = compile_checker(
        shape_of(In={"type": "list", "member": {"shape": "Item"}}, Item=name, Name={"type": "string"})
    )
    assert len(checker([{}] * 5000, "x")) == 1000


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=70))
def test_a_name_passes_exactly_if_botocore_s_rule_holds(runtime: Service, name: str) -> None:
    shape = runtime.operations["InvokeEndpoint"].input
    assert shape is not None
    found = compile_checker(shape.members["EndpointName"].shape)(name, "endpointName")
    good = (
        name.isascii()
        and name.replace("-", "a").isalnum()
        and not name.startswith("-")
        and not name.endswith("-")
    )
    assert (found == []) == (good and len(name) <= 63)
