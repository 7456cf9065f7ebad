"""Large CSV of words and gaps, whose cells are found at once: answered as cell by cell, to the byte."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.hosting.host import Call
from service.media.codec import decode
from tests.hosting.programs.table_sweep import Pair, outcome_of, pair_of
from tests.hosting.programs.tables import COLUMNS, training

pytestmark = pytest.mark.filterwarnings("ignore")

_ROWS = 90
_ODD = (
    *(
        "",
        " ",
        "NA",
        "nan",
        "None",
        "Rome ",
        "unheard of",
        "x" * 300,
        "é",
        "\u0130",
        "10",
        "1e3",
        "true",
        "TRUE",
    ),
    *(
        "-0",
        "-0.0",
        "+1",
        ".5",
        "01",
        "1e400",
        "9007199254740993",
        "inf",
        "[1]",
        "a,b",
        'a "b"',
        "a\nb",
        "\x00",
    ),
)


def rows_of(pair: Pair) -> list[list[Any]]:
    """Rows as they are usual, with a gap and a stranger here and there where the model takes such."""
    width = pair.served.features or 0
    names = list(pair.served.columns or COLUMNS[:width])
    table = training()[names].to_numpy(dtype=object)[:_ROWS]
    return [[None if cell != cell else cell for cell in row] for row in table.tolist()]


def as_csv(rows: list[list[Any]], end: str = "\n", quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    """As `csv` writes them; None is a blank cell."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue().encode()


def with_cell(rows: list[list[Any]], row: int, place: int, cell: Any) -> list[list[Any]]:
    """A copy in which one cell is another."""
    return [
        [cell if (at, column) == (row, place) else old for column, old in enumerate(one)]
        for at, one in enumerate(rows)
    ]


def bodies(pair: Pair) -> Iterator[tuple[bytes, str]]:
    """What may come of a table: in all forms, and with one thing odd about it."""
    rows = rows_of(pair)
    body = as_csv(rows)
    for end in ("\n", "\r\n"):
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC):
            yield as_csv(rows, end, quoting), "text/csv"
    if pair.served.columns:
        names = list(pair.served.columns)
        order = np.random.default_rng(1).permutation(len(names)).tolist()
        shuffled = as_csv([[row[place] for place in order] for row in [names, *rows]])
        yield shuffled, "text/csv"
        yield shuffled, "text/csv; header=present"
        yield as_csv([[*names[:-1], "other"], *rows]), "text/csv"
        yield as_csv([names, names, *rows]), "text/csv"
    yield body, "text/csv; header=present"
    yield body, "text/csv; header=absent"
    yield body + b"\n\n", "text/csv"
    yield body.replace(b"\n", b"\n\n", 1), "text/csv"
    yield body[:-1] + b",1\n", "text/csv"
    yield body.replace(b"\n", b"\r", 1), "text/csv"
    yield body[:3000] + b"\xff" + body[3000:], "text/csv"
    yield body[:3000] + b'"' + body[3000:], "text/csv"
    random = np.random.default_rng(2)
    for cell in _ODD:
        place, row = int(random.integers(len(rows[0]))), int(random.integers(len(rows)))
        yield as_csv(with_cell(rows, row, place, cell)), "text/csv"


@pytest.mark.parametrize(
    "name",
    ["one-hot + logistic", "strict one-hot", "ordinal + boosting", "truth values", "positions + boosting"],
)
def test_every_answer_and_refusal_is_the_one_of_the_model_as_it_was_loaded(name: str) -> None:
    pair = pair_of(name)
    assert pair.verdict is not None
    assert "predict" in pair.verdict.compiled

    for body, content_type in bodies(pair):
        call = Call(body, content_type, "text/csv")
        assert outcome_of(pair.compiled, call) == outcome_of(pair.loaded, call), (content_type, body[:300])


def test_usual_tables_are_read_at_once_in_whichever_order_their_columns_are() -> None:
    pair = pair_of("ordinal + boosting")
    coding = pair.served._coding
    assert coding is not None
    names, rows = list(pair.served.columns or ()), rows_of(pair)
    backwards = [[*reversed(row)] for row in [names, *rows]]

    for table, end in (([names, *rows], "\n"), (rows, "\r\n"), (backwards, "\n")):
        data = decode(as_csv(table, end), "text/csv", pair.served.takes)
        found = coding._code_block(data)  # type: ignore[arg-type]  # the model takes more than numbers
        assert found is not None
        np.testing.assert_array_equal(found, coding._reading.read(data, coding._code_columns))  # type: ignore[arg-type]  # see above
