import json
from typing import Any

import pytest

from service.errors import ValidationFault
from service.experiments.reports import Reported, read_reports

_LINES = b'{"inference_id": "a", "click": true}\n\n{"inference_id": "b", "reward": 2, "at": 86400}\n'


@pytest.mark.parametrize(
    ("content_type", "body", "reports"),
    [
        ("application/json", b'{"inference_id": "a", "click": 1}', [Reported("a", "click", 1.0, None)]),
        (
            "application/json",
            b'[{"inference_id": "a", "label": "setosa", "reward": -2.5}]',
            [Reported("a", "label", "setosa", None), Reported("a", "reward", -2.5, None)],
        ),
        (
            "application/jsonlines",
            _LINES,
            [Reported("a", "click", 1.0, None), Reported("b", "reward", 2.0, 86400.0)],
        ),
        (
            "text/csv; charset=utf-8",
            b"inference_id,click,at\r\na,no,1970-01-02\r\nc,1,1970-01-01T01:00:00+01:00\r\n",
            [Reported("a", "click", 0.0, 86400.0), Reported("c", "click", 1.0, 0.0)],
        ),
        ("application/json", b'{"inference_id": "a", "label": 1}', [Reported("a", "label", "1", None)]),
        ("application/json", b'{"inference_id": "a", "label": true}', [Reported("a", "label", "true", None)]),
    ],
)
def test_outcomes_are_read_as_json_lines_or_csv(
    content_type: str, body: bytes, reports: list[Reported]
) -> None:
    assert read_reports(content_type, body) == reports


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "no outcome"),
        (b"[]", "no outcome"),
        (b"\xff", "no text in UTF-8"),
        (b"[1]", "Record 1 of the outcomes is no JSON object"),
        (b'[{"inference_id": "a", "x": 1}, {"click": 1}]', "Record 2 of the outcomes has no inference_id"),
        (b'{"inference_id": "", "x": 1}', "has no inference_id"),
        (b'{"inference_id": "%b", "x": 1}' % (b"x" * 65), "1 to 64 characters"),
        (b'{"inference_id": "a"}', "has 0 outcomes"),
        (b'{"inference_id": "a", "x y": 1}', "is no name of an outcome"),
        (b'{"inference_id": "a", "buy": true, "buy": false}', "Record 1 of the outcomes names 'buy' twice"),
        (
            b'[{"inference_id": "a", "buy": 1}, {"inference_id": "a", "buy": 1, "inference_id": "b"}]',
            "Record 2 of the outcomes names 'inference_id' twice",
        ),
        (
            b'{"inference_id": "a", "buy": 1}\n{"inference_id": "a", "at": 1, "buy": 1, "at": 2}',
            "Record 2 of the outcomes names 'at' twice",
        ),
        (b'{"inference_id": "a", "": 1, "": 1}', "Record 1 of the outcomes names '' twice"),
        (b'{"inference_id": "a", "click": {"x": 1, "x": 2}}', "click is no number"),
        (b'{"inference_id": "a", "click": "perhaps"}', "click is no number"),
        (b'{"inference_id": "a", "click": "yes"}', "click is no number, nor true or false"),
        (b'{"inference_id": "a", "click": "1"}', "click is no number, nor true or false"),
        (b'{"inference_id": "a", "click": NaN}', "neither JSON nor JSON lines"),
        (b'{"inference_id": "a", "click": 1e999}', "click is no number"),
        (b'{"inference_id": "a", "click": [1]}', "click is no number"),
        (b'{"inference_id": "a", "label": null}', "a label is a word or a number"),
        (b'{"inference_id": "a", "label": 1e999}', "a label is a word or a number"),
        (b'{"inference_id": "a", "label": " "}', "a label is a word or a number"),
        (b'{"inference_id": "a", "click": 1, "at": "soon"}', "at is no time"),
        (b'{"inference_id": "a", "click": 1, "at": -5}', "at is no time"),
        (b'{"inference_id": "a", "click": 1, "at": true}', "at is no time"),
        (b"[" * 100_000, "neither JSON|nested too deeply"),
        (
            b'{"inference_id": "\\ud800", "click": 1}',
            "Record 1: inference_id has a NUL or half of a character",
        ),
        (b'{"inference_id": "a\\u0000", "click": 1}', "inference_id has a NUL"),
        (b'{"inference_id": "a", "label": "\\udfff"}', "label has a NUL or half of a character"),
        (b'{"inference_id": "a", "label": "\\u0000x"}', "label has a NUL"),
        (b'{"inference_id": "a", "\\ud800": 1}', "is no name of an outcome"),
        (b'{"inference_id": "a", "click": "\\ud800"}', "click is no number"),
        (b'{"inference_id": "a", "click": 1, "at": "\\ud800"}', "at is no time"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_taken(body: bytes, complaint: str) -> None:
    with pytest.raises(ValidationFault, match=complaint):
        read_reports("application/json", body)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "must name its columns"),
        (b"id,click\na,1\n", "must name its columns"),
        (b"inference_id,click\na\n", "Row 1 of the outcomes has 1 cells, the head 2"),
        (b'inference_id,click\n"a,1\n', "no CSV"),
        (b"inference_id,click\n,1\n", "Record 1 of the outcomes has no inference_id"),
        (b"inference_id,click\n", "no outcome in the request"),
        (b"inference_id,at\na,1\n", "must name an outcome"),
        (
            b"inference_id;click\na;1\n",
            "inference_id among them. It has semicolons: cells are separated by commas.",
        ),
        (b"inference_id\tclick\na\t1\n", "It has tabs: cells are separated by commas."),
        (b'"inference_id";"click"\n"a";1\n', "no CSV: .* It has semicolons"),
        (b"inference_id,click\na,1\nb,maybe\n", "Record 2: click is no number, nor true, false, yes or no."),
        (b"inference_id,buy, buy\na,1,0\n", "The first line of CSV names 'buy' twice"),
        (b"inference_id,inference_id,buy\na,b,0\n", "names 'inference_id' twice"),
        (b"inference_id,at,buy,at\na,1,0,2\n", "names 'at' twice"),
    ],
)
def test_csv_needs_a_head_and_whole_rows(body: bytes, complaint: str) -> None:
    with pytest.raises(ValidationFault, match=complaint):
        read_reports("text/csv", body)


@pytest.mark.parametrize(
    ("content_type", "head", "good", "bad", "join"),
    [
        ("text/csv", "inference_id,click\n", "a,1", "a,?", "\n"),
        (
            "application/json",
            "",
            '{"inference_id": "a", "click": 1}',
            '{"inference_id": "a", "click": "?"}',
            "\n",
        ),
    ],
)
def test_a_bad_record_behind_many_good_ones_is_named_by_its_number(
    content_type: str, head: str, good: str, bad: str, join: str
) -> None:
    body = (head + join.join([*[good] * 199, bad])).encode()

    with pytest.raises(ValidationFault, match="Record 200: click is no number"):
        read_reports(content_type, body)


@pytest.mark.parametrize(("length", "fits"), [(40, True), (41, False), (100_000, False)])
def test_a_name_has_forty_characters_at_most(length: int, fits: bool) -> None:
    body = json.dumps({"inference_id": "a", "n" * length: 1}).encode()
    if fits:
        assert read_reports("application/json", body)[0].name == "n" * length
        return
    with pytest.raises(ValidationFault, match="is no name of an outcome"):
        read_reports("application/json", body)


def test_more_than_a_few_outcomes_of_one_record_are_refused() -> None:
    record: dict[str, Any] = {f"x{number}": 1 for number in range(11)}
    body = str({"inference_id": "a", **record}).replace("'", '"').encode()

    with pytest.raises(ValidationFault, match="has 11 outcomes: it takes 1 to 10"):
        read_reports("application/json", body)


def test_a_nul_in_csv_is_refused_as_in_json() -> None:
    with pytest.raises(ValidationFault, match="inference_id has a NUL"):
        read_reports("text/csv", b"inference_id,click\na\0b,1\n")


def test_rows_of_csv_without_an_outcome_report_nothing() -> None:
    body = b"inference_id,click,label,at\na,,,5\nb,0,,\nc,,,\n"
    assert read_reports("text/csv", body) == [Reported("b", "click", 0.0, None)]
    assert read_reports("text/csv", b"inference_id,click\na,\nb, \n") == []
    with pytest.raises(ValidationFault, match="Record 3: click is no number"):
        read_reports("text/csv", b"inference_id,click\na,\nb,1\nc,?\n")


def test_columns_without_a_name_do_no_harm_while_they_are_empty() -> None:
    assert read_reports("text/csv", b"inference_id,click,,\na,1,,\n") == [Reported("a", "click", 1.0, None)]
    with pytest.raises(ValidationFault, match="Record 1: '' is no name of an outcome"):
        read_reports("text/csv", b"inference_id,click,,\na,1,,2\n")


_GOOD = '{"inference_id": "a", "click": 1}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{_GOOD}\n\n{_GOOD[:-1]}\n{_GOOD}", "no JSON lines: Expecting ',' delimiter: line 3 column 33."),
        (f"{_GOOD}\r\n{_GOOD}\r\nclick", "no JSON lines: Expecting value: line 3 column 1."),
        (f"{_GOOD}\n{_GOOD} {_GOOD}", "no JSON lines: Extra data: line 2 column 35."),
        (
            f'{_GOOD}\n{{"inference_id": "a", "click": NaN}}',
            "no JSON lines: NaN is no number of JSON: line 2.",
        ),
        (f"{_GOOD[:-1]}\n{_GOOD}", "neither JSON nor JSON lines: Expecting ',' delimiter: line 2 column 1."),
        (f"{_GOOD} {_GOOD}", "neither JSON nor JSON lines: Extra data: line 1 column 35."),
        (
            f"[\n{_GOOD},\n{_GOOD}\n{_GOOD}]",
            "neither JSON nor JSON lines: Expecting ',' delimiter: line 4 column 1.",
        ),
        (f"{_GOOD}\n" + "[" * 100_000, "nested too deeply"),
    ],
)
def test_the_line_that_is_wrong_is_named_of_json_lines_and_of_json(text: str, complaint: str) -> None:
    with pytest.raises(ValidationFault, match=complaint):
        read_reports("application/json", text.encode())


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085"])
def test_json_lines_may_have_texts_with_other_ends_of_lines(mark: str, end: str) -> None:
    line = json.dumps({"inference_id": "a", "label": f"x{mark}y"}, ensure_ascii=False)

    reports = read_reports("application/json", end.join([line, line, ""]).encode())

    assert reports == [Reported("a", "label", f"x{mark}y", None)] * 2
