"""How a file of outcomes is cut, and what of a refusal is told of the whole file."""

import json

import pytest
import typer

from service.cli.report_parts import ReportPart, cut_reports
from service.errors import ValidationFault
from service.experiments.reports import Reported, read_reports
from service.media.types import CSV, JSON

_MANY = 8_000
_LONG = "x" * 60


def records(label: str = _LONG) -> list[dict[str, object]]:
    return [{"inference_id": f"id-{number:06}", "label": f"{label}{number}"} for number in range(_MANY)]


def csv_of(label: str, head: str = "inference_id,label\r\n") -> str:
    return head + "".join(f'"id-{number:06}","{label}{number}"\r\n' for number in range(_MANY))


_GAPS = "\n\n" + csv_of(f"{_LONG}\n\n,y").replace('"\r\n', '"\r\n\r\n')
_LINES = "\n".join(map(json.dumps, records()))
_FILES = {
    "lines": (JSON, _LINES),
    "lines with gaps": (JSON, _LINES.replace("\n", "\r\n\r\n")),
    "lines with other ends": (
        JSON,
        "\n".join(json.dumps(r, ensure_ascii=False) for r in records(f"{_LONG}\u2028")),
    ),
    "list": (JSON, json.dumps(records())),
    "list over lines": (JSON, "\n " + json.dumps(records(), indent=1) + "\n"),
    "csv": (CSV, csv_of(_LONG)),
    "csv with gaps and cells of two lines": (CSV, _GAPS),
}


def read(content_type: str, parts: list[ReportPart]) -> list[Reported]:
    return [report for part in parts for report in read_reports(content_type, part.body)]


@pytest.mark.parametrize("name", _FILES)
def test_parts_have_every_record_once_and_say_how_many_are_before_them(name: str) -> None:
    content_type, text = _FILES[name]

    parts = [*cut_reports(content_type, text.encode())]

    assert len(parts) > 1
    assert max(len(part.body) for part in parts) <= 500_100
    assert read(content_type, parts) == read_reports(content_type, text.encode())
    before = 0
    for part in parts:
        assert part.records_before == before
        before += len(read_reports(content_type, part.body))


@pytest.mark.parametrize("name", _FILES)
def test_a_bad_record_is_named_by_its_number_in_the_file(name: str) -> None:
    content_type, text = _FILES[name]
    bad = text.replace("id-006000", "\\u0000" if content_type == JSON else "\0")

    *_, told = refusals(content_type, bad)

    assert told.startswith("Record 6001: inference_id has a NUL")


def refusals(content_type: str, text: str) -> list[str]:
    """What is told of the file where the server refuses parts."""
    found = []
    for part in cut_reports(content_type, text.encode()):
        try:
            read_reports(content_type, part.body)
        except ValidationFault as fault:
            found.append(part.told_of_file(fault.message))
    return found


def test_a_line_that_is_no_json_is_named_by_its_number_in_the_file() -> None:
    text = _LINES.replace("\n", "\n\n")
    _, second, *_ = cut_reports(JSON, text.encode())
    lines = text.split("\n")
    for at in (second.lines_before, second.lines_before + 5):  # the first of a part, and another one
        assert refusals(JSON, "\n".join([*lines[:at], "click" * 40, *lines[at:]])) == [
            f"The outcomes are {'neither JSON nor' if at == second.lines_before else 'no'} JSON lines: "
            f"Expecting value: line {at + 1} column 1."
        ]


def test_a_row_of_too_few_cells_is_named_by_its_number_in_the_file() -> None:
    (told,) = refusals(CSV, csv_of(_LONG).replace('"id-006000",', ""))

    assert told == "Row 6001 of the outcomes has 1 cells, the head 2."


def test_a_record_that_says_something_twice_says_so_in_a_part_of_a_list() -> None:
    (told,) = refusals(JSON, json.dumps(records()).replace('"id-006000"', '"id-006000", "label": "y"'))

    assert told == "Record 6001 of the outcomes names 'label' twice."


def test_numbers_of_another_kind_stay_as_they_are() -> None:
    part = ReportPart(b"", 100, 200)

    assert part.told_of_file("An experiment has 50 names of outcomes at most.") == (
        "An experiment has 50 names of outcomes at most."
    )
    assert part.told_of_file("Record 1: 'line 5' is no name of an outcome.").startswith(
        "Record 101: 'line 5'"
    )


@pytest.mark.parametrize(
    ("content_type", "body", "complaint"),
    [
        (
            JSON,
            json.dumps(records())[:-1].encode(),
            "outcomes are no JSON: Expecting ',' delimiter: line 1",
        ),
        (JSON, _LINES.encode() + b"\n\xff", f"no text in UTF-8 (byte {len(_LINES) + 2})"),
    ],
)
def test_what_cannot_be_cut_is_said_before_anything_is_sent(
    content_type: str, body: bytes, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        next(cut_reports(content_type, body))

    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("text", ["\n" * 600_000, "inference_id," + "x" * 600_000, '"' + "x\n" * 300_000])
def test_csv_without_rows_is_left_to_the_server(text: str) -> None:
    assert len(refusals(CSV, text)) == len([*cut_reports(CSV, text.encode())]) > 0


def test_a_small_file_goes_as_it_is() -> None:
    assert [*cut_reports(JSON, b"junk")] == [ReportPart(b"junk")]
