"""Names and sentences that files and other callers chose, as a terminal gets them: nothing steers it."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.objects.beneath import shown

_WIDE = 100_000
_MOST_NAMED = 20


def told(text: str) -> str:
    """A text in one line: control characters, line breaks and what turns the direction around are escaped."""
    return text if text.isprintable() else shown(text)


def told_lines(text: str) -> str:
    """A text of several lines: those after the first are indented, so that none passes for ours."""
    return "\n  ".join(told(line.removesuffix("\r")) for line in text.rstrip("\r\n").split("\n"))


def told_names(names: Sequence[str]) -> str:
    """Those that there are, for a sentence: the first twenty."""
    if not names:
        return "none"
    return f"{', '.join(names[:_MOST_NAMED])}{', …' if len(names) > _MOST_NAMED else ''}"


def open_console() -> Console:
    """Standard output: a terminal as wide as it is, a file or pipe as wide as its lines."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def print_table(console: Console, table: Table) -> None:
    """Show a table with whole names: those too long for a terminal go on in the next line."""
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)


def cell(text: str) -> str:
    """The same for the cell of a table, where brackets mean themselves."""
    return escape(told(text))
