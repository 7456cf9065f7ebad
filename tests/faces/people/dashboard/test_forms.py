"""The form of an endpoint: a field for each column, with its words and the example's values; else a body."""

import pytest

from service.faces.people.dashboard.forms import MOST_FIELDS, InputField, InputForm, form_of
from service.hosting.host import Column, Interface
from service.invoke.catalogue import ExampleRequest, Manual

_RECORDS = '[{"size": "large", "speed": 250, "note": "x", "gap": null}, {"size": "small"}]'


def interface(
    *columns: Column, width: int | None = None, scripted: bool = False, texts: bool = False
) -> Interface:
    return Interface(scripted, width or len(columns) or None, columns, (), False, None, texts)


def test_records_have_a_field_for_each_name_with_the_words_that_the_model_knows() -> None:
    columns = (Column("size", True, ("large", "small")), Column("speed", gaps=True))
    manual = Manual((ExampleRequest(_RECORDS, "application/json"),), interface(*columns, scripted=True))
    assert form_of(manual) == InputForm(
        "records",
        "application/json",
        (
            InputField("size", "large", True, ("large", "small")),
            InputField("speed", "250", gaps=True),
            InputField("note", "x", True),
            InputField("gap", "", gaps=True),
        ),
    )


def test_columns_of_numbers_are_a_line_filled_from_the_example() -> None:
    manual = Manual((ExampleRequest("1.5,2\n3,4\n", "text/csv"),), interface(Column("a"), Column("b")))
    assert form_of(manual) == InputForm("csv", "text/csv", (InputField("a", "1.5"), InputField("b", "2")))


def test_columns_without_an_example_are_filled_with_what_they_may_hold() -> None:
    columns = (Column("n"), Column("w", True, ("one", "two")), Column("t", True))
    assert form_of(Manual((), interface(*columns))) == InputForm(
        "records",
        "application/json",
        (InputField("n", "0"), InputField("w", "one", True, ("one", "two")), InputField("t", "", True)),
    )


def test_a_line_of_numbers_is_a_form_without_names() -> None:
    manual = Manual((ExampleRequest("5.1,3.5\n", "text/csv"),), interface(width=2))
    assert [(field.name, field.value) for field in form_of(manual).fields] == [
        ("column 1", "5.1"),
        ("column 2", "3.5"),
    ]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("large,climb\n", "text/csv"),
        ('{"instances": [[1]]}', "application/json"),
        ('[{"nested": [1]}]', "application/json"),
        ('[{"flag": true}]', "application/json"),
        ("[{", "application/json"),
        ("some text", "text/plain"),
        (",".join(["1"] * (MOST_FIELDS + 1)), "text/csv"),
        ("", "text/csv"),
    ],
)
def test_what_has_no_plain_columns_is_a_body(body: str, content_type: str) -> None:
    manual = Manual((ExampleRequest(body, content_type),), interface(scripted=True))
    assert form_of(manual) == InputForm("body", content_type, body=body)


def test_texts_are_a_body_and_nothing_known_is_an_empty_one() -> None:
    manual = Manual((ExampleRequest("hello", "text/plain"),), interface(Column("a"), texts=True))
    assert form_of(manual).body == "hello"
    assert form_of(Manual()) == InputForm("body", "text/csv")


def test_the_example_of_a_target_model_counts_more_than_the_endpoints() -> None:
    manual = Manual((ExampleRequest("1,2", "text/csv"),), interface(Column("a"), Column("b")))
    assert len(form_of(manual, ExampleRequest("1,2,3", "text/csv", "other")).fields) == 3
