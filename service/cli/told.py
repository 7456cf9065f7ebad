"""Names and sentences that files and other callers chose, as a terminal gets them: nothing steers it."""

from rich.markup import escape

from service.objects.beneath import shown


def told(text: str) -> str:
    """A text in one line: control characters, line breaks and what turns the direction around are escaped."""
    return text if text.isprintable() else shown(text)


def cell(text: str) -> str:
    """The same for the cell of a table, where brackets mean themselves."""
    return escape(told(text))
