"""The command that asks all variants of an endpoint the same rows: compare."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from httpx import Response
from rich.console import Console
from rich.progress import Progress

from service.cli.asked import AcceptHeader, TargetModel, headers_for
from service.cli.compare_view import show_comparison
from service.cli.labelled import LabelColumn, LabelledRows, read_labelled
from service.cli.refusal import fail
from service.cli.server import Url, ask, error_text, find_endpoint
from service.errors import UnclearAnswer
from service.experiments.agreement import disagreement
from service.experiments.answers import read_items, tell_task
from service.experiments.grading import Grades, grade
from service.experiments.sums import sum_up
from service.experiments.verdict import Question, judge_paired

_ROW: Final = re.compile(r"\b((?:[Rr]ow|[Rr]ecord) )([0-9]{1,9})\b")
_HEADER: Final = "the header"  # who refuses it has looked for its columns by their names
_UNKNOWN: Final = "unknown column"

Control = Annotated[
    str | None,
    typer.Option(
        metavar="VARIANT",
        help="What others are compared with.  \\[default: the one of most weight]",
        show_default=False,
    ),
]
Worth = Annotated[
    float | None,
    typer.Option(
        min=1e-9,
        help="Smallest difference that matters.  \\[default: 0.01, a point, of classes; of numbers a tenth "
        "of their standard deviation]",
        show_default=False,
    ),
]


def compare(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Rows: CSV, JSON or JSON lines, labelled or not.")
    ],
    label: LabelColumn = None,
    control: Control = None,
    worth: Worth = None,
    accept: AcceptHeader = None,
    target_model: TargetModel = None,
    rows_per_request: Annotated[int, typer.Option(min=1, max=10_000, help="Rows of one request.")] = 100,
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Ask every variant the same rows: where they disagree and, with labels, which one is better."""
    rows = read_labelled(file, label)
    card = find_endpoint(url, endpoint, target_model)
    weights = {each["name"]: each["weight"] for each in card["variants"] if not each["pending"]}
    names = order_variants(weights, control)
    asking = _Asking(url, endpoint, rows_per_request, accept, target_model)
    answers = {}
    with _progress() as progress:
        task = progress.add_task(endpoint, total=len(rows.rows) * len(names))
        for name in names:
            rows, answers[name] = asking.ask_all(rows, name, lambda done: progress.advance(task, done))
    document = {"endpoint": endpoint, "rows": len(rows.rows), **_compare(rows, answers, worth)}
    if as_json:
        typer.echo(json.dumps(document))
    else:
        show_comparison(document)


def order_variants(weights: Mapping[str, float], control: str | None) -> list[str]:
    """The variants, the control first; the command ends if there is nothing to compare."""
    if control is not None and control not in weights:
        fail(f"There is no variant {control}: there are {', '.join(weights)}.")
    if len(weights) < 2:
        fail(f"There is one variant, {', '.join(weights)}: nothing to compare it with.")
    first = control if control is not None else max(weights, key=lambda name: weights[name])
    return [first, *(name for name in weights if name != first)]


class _Asking:
    """Requests for rows, some at a time."""

    def __init__(
        self, url: str, endpoint: str, size: int, accept: str | None, target_model: str | None
    ) -> None:
        self._url = url
        self._path = f"/endpoints/{quote(endpoint, safe='')}/invocations"
        self._size = size
        self._accept = accept
        self._target_model = target_model

    def ask_all(self, rows: LabelledRows, variant: str, told: Any) -> tuple[LabelledRows, list[Any]]:
        """What a variant answers to each row, and the rows as they are sent: a refused head is left out."""
        found: list[Any] = []
        while len(found) < len(rows.rows):
            first, last = len(found), min(len(found) + self._size, len(rows.rows))
            response = self._send(rows, variant, first, last)
            if response.is_client_error and rows.head and not first:
                bare = rows.headless()
                again = self._send(bare, variant, first, last)
                if again.is_success or _HEADER not in error_text(response):
                    rows, response = bare, again
            if not response.is_success:
                fail(f"{variant} refused rows {first + 1} to {last}: {_told(response, first)}")
            try:
                found += read_items(response.content, last - first)
            except UnclearAnswer as error:
                fail(f"{variant}: {error} --rows-per-request 1 asks for each row alone.")
            told(last - first)
        return rows, found

    def _send(self, rows: LabelledRows, variant: str, first: int, last: int) -> Response:
        headers = {
            "Content-Type": rows.content_type,
            **dict(headers_for(self._accept, variant, self._target_model, None)),
        }
        return ask(self._url, "POST", self._path, content=rows.body(first, last), headers=headers)


def _told(response: Response, first: int) -> str:
    """Why rows were refused, by their numbers in the file: a request knows none of those before it."""
    text = _ROW.sub(lambda found: f"{found[1]}{int(found[2]) + first}", error_text(response))
    hint = " --label COLUMN says which column has labels: they are not sent." if _UNKNOWN in text else ""
    return text + hint


def _compare(rows: LabelledRows, answers: Mapping[str, Sequence[Any]], worth: float | None) -> dict[str, Any]:
    if rows.labels is None:
        return {"disagreement": disagreement(answers, None), "quality": None, "verdict": None}
    task = tell_task(rows.labels, [item for items in answers.values() for item in items])
    grades = {}
    for name, items in answers.items():
        try:
            grades[name] = grade(task, rows.labels, dict(enumerate(items)))
        except UnclearAnswer as error:
            fail(f"{name}: {error}")
    predicted = {name: [*each.predicted.values()] for name, each in grades.items()}
    return {
        "disagreement": disagreement(predicted, rows.labels),
        "quality": {name: each.quality.document() for name, each in grades.items()},
        "verdict": _judge(grades, bool(task.classes), worth),
    }


def _judge(grades: Mapping[str, Grades], binary: bool, worth: float | None) -> dict[str, Any]:
    control = next(iter(grades))
    outcomes = {name: each.outcomes for name, each in grades.items()}
    differences = {
        name: sum_up(own[row] - outcomes[control][row] for row in own)
        for name, own in outcomes.items()
        if name != control
    }
    question = Question(control, binary, more_is_better=binary, worth=worth, noun="rows")
    return judge_paired(question, {name: sum_up(own.values()) for name, own in outcomes.items()}, differences)


def _progress() -> Progress:
    shown = sys.stderr.isatty() and sys.stdout.isatty()
    return Progress(console=Console(file=sys.stderr), disable=not shown, transient=True)
