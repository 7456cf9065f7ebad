"""Names that files and callers chose, on their way to a terminal."""

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.told import cell, print_table, told, told_lines, told_names


def test_a_name_that_is_wider_than_the_terminal_goes_on_in_the_next_line() -> None:
    name, table = "0123456789" * 5, Table("name", "more")
    table.add_row(name, "text")
    console = Console(width=40, file=StringIO(), force_terminal=True, color_system=None)

    print_table(console, table)

    assert isinstance(console.file, StringIO)
    lines = [line.split("│")[1].strip() for line in console.file.getvalue().splitlines() if "│" in line]
    assert "".join(lines) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Endpunkt größer [v1]", "Endpunkt größer [v1]"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31mred", r"\x9b31mred"),
        ("]0;title\x07", r"]0;title\x07"),
        ("csv.\u202eexe", r"csv.\u202eexe"),
        ("a\nb\r\u2028c", r"a\nb\r\u2028c"),
        ("\udcff", r"\xff"),
    ],
)
def test_nothing_in_a_name_steers_the_terminal(text: str, shown: str) -> None:
    assert told(text) == shown
    assert Text.from_markup(cell(text)).plain == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one line", "one line"),
        (
            'cannot load:\n  File "inference.py"\r\nSyntaxError\n',
            'cannot load:\n    File "inference.py"\n  SyntaxError',
        ),
        ("a\x1b[31m\nsagebird: all is well", "a\\x1b[31m\n  sagebird: all is well"),
    ],
)
def test_a_text_of_several_lines_keeps_them_and_none_passes_for_ours(text: str, shown: str) -> None:
    assert told_lines(text) == shown


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "none"),
        (["iris"], "iris"),
        ([str(number) for number in range(20)], ", ".join(map(str, range(20)))),
        ([str(number) for number in range(21)], ", ".join(map(str, range(20))) + ", …"),
    ],
)
def test_many_names_are_not_all_told(names: list[str], said: str) -> None:
    assert told_names(names) == said
