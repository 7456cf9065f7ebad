"""Asks compiled pipelines of words, gaps and numbers what is usual and what is odd, in every form.

Run as a program it prints what becomes of each pipeline, and why, and fails where one answer or refusal
differs by a byte from that of the same model as it was loaded:

    python tests/hosting/programs/table_sweep.py --count 10000
"""

import argparse
import csv
import io
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent.parent))

from service.errors import ModelFault
from service.hosting.calls.joining import lane_of
from service.hosting.host import Call
from service.hosting.programs.compiled import Compiling
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import decode
from tests.hosting.programs.tables import CASES, POSITIONS, WORDS, fit, training

JSON, CSV, LINES = "application/json", "text/csv", "application/jsonlines"
_ACCEPTS = (None, None, None, CSV, "application/json; output=probabilities", "application/x-npy")
_MOST_BYTES = 1 << 24
_ODD_NUMBERS = (
    *(0, -0.0, 1, True, False, 5e-324, 1e-300, 1e300, 1.7e308, 3.5e38, -1e12, 2**53 + 1, 2**63, 2**64 - 1),
    *(-(2**63), 1e16, 0.1, "12", " 7 ", "x", "", "nan", float("nan"), float("inf"), -float("inf")),
)
_ODD_WORDS = (
    *(
        "",
        " ",
        "Rome ",
        "rome",
        "nan",
        "NA",
        "null",
        "None",
        "true",
        "0",
        "10",
        "1e3",
        "Zürich",
        "a,b",
        'a "b"',
    ),
    *("\x00", "x" * 300, 10, 10.0, 1.5, True, False, -0.0, float("nan"), 2**70, "\u0130\u0307", "web\n"),
)


class Pair:
    """A model as it was loaded, and the same compiled."""

    def __init__(self, estimator: Any) -> None:
        self.loaded = FlavourModel(SklearnModel(estimator), 0, JSON)
        served = SklearnModel(estimator)
        compiling = Compiling.of(served, {}, _MOST_BYTES)
        self.compiled = FlavourModel(served, 0, JSON, compiling)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.verdict = compiling.run(None, None) or compiling.verdict
        self.served = served

    def by_program(self, call: Call) -> bool:
        """Whether the model's labels for this call come from a program."""
        try:
            rows = self.served.code(decode(call.body, call.content_type, self.served.takes))
        except ModelFault:
            return False
        quick = self.served.quick.get("predict")
        return rows is not None and quick is not None and quick(rows) is not None


@dataclass
class Counted:
    """What came of asking one pair."""

    compared: int = 0
    by_program: int = 0
    differing: int = 0
    example: str = ""

    def note(self, what: str, call: Call, found: Any, right: Any) -> None:
        """Compare an answer with the right one."""
        self.compared += 1
        if found != right:
            self.differing += 1
            self.example = self.example or f"{what}: {call} gave {found}, as it was loaded {right}"[:1500]


def outcome_of(model: FlavourModel, call: Call) -> Any:
    """An answer as bytes, or a refusal as its words."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return model.answer(call)[:2]
    except ModelFault as fault:
        return type(fault).__name__, fault.status, fault.message


def hold(pair: Pair, columns: Sequence[str] | None, width: int, count: int, seed: int = 0) -> Counted:
    """Ask both for `count` answers, one by one and together with others."""
    random = np.random.default_rng(seed)
    counted = Counted()
    asked: list[tuple[Call, Any]] = []
    for call in calls(columns, width, count, random):
        right = outcome_of(pair.loaded, call)
        counted.by_program += pair.by_program(call)
        counted.note("alone", call, outcome_of(pair.compiled, call), right)
        asked.append((call, right))
    by_headers: dict[Any, list[tuple[Call, Any]]] = {}
    for call, right in asked:
        by_headers.setdefault(call[1:3], []).append((call, right))
    for headers, group in by_headers.items():
        lane = lane_of(pair.compiled, Call(b"", *headers))
        while group:
            size = int(random.integers(1, 40))
            some, group = group[:size], group[size:]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = lane.answer([call.body for call, _ in some])
            for (call, right), one in zip(some, found, strict=True):
                counted.note("together", call, _plain(one), right)
    return counted


def _plain(outcome: Any) -> Any:
    if isinstance(outcome, ModelFault):
        return type(outcome).__name__, outcome.status, outcome.message
    return outcome[:2] if isinstance(outcome, tuple) else outcome


# ---- what is asked


def calls(
    columns: Sequence[str] | None, width: int, count: int, random: np.random.Generator
) -> Iterator[Call]:
    """Requests of one record, mostly, in all forms: half of them as usual, the others with something odd."""
    names = list(columns) if columns is not None else [*training().columns][:width]
    if columns is None and width == 8:
        names[7] = "plan"
    for number in range(count):
        rows = int(random.choice([1, 1, 1, 1, 2, 5]))
        odd = float(random.choice([0.0, 0.0, 0.1, 0.4]))
        table = [[_cell(name, odd, random) for name in names] for _ in range(rows)]
        accept = _ACCEPTS[number % len(_ACCEPTS)]
        form = int(random.integers(0, 8))
        if columns is None and form < 4:
            form += 3
        yield Call(*_written(form, names, table, odd, random), accept)


def _cell(name: str, odd: float, random: np.random.Generator) -> Any:
    if random.random() < 0.08:
        return None
    words = name in WORDS
    if random.random() < odd:
        choices = _ODD_WORDS if words or name == "member" else _ODD_NUMBERS
        return choices[int(random.integers(0, len(choices)))]
    value = training()[name].iloc[int(random.integers(0, len(training())))]
    if words and random.random() < 0.05:
        return "unheard of"
    if value is None or value != value:
        return None
    return value.item() if hasattr(value, "item") else value


def _written(
    form: int, names: list[str], table: list[list[Any]], odd: float, random: np.random.Generator
) -> tuple[bytes, str]:
    records = [dict(zip(names, row, strict=True)) for row in table]
    if odd and random.random() < 0.1:
        records[-1].pop(names[int(random.integers(0, len(names)))])
    if odd and random.random() < 0.05:
        records[0]["added"] = 1
    if random.random() < 0.2:
        records = [dict(sorted(record.items())) for record in records]
    if form == 0 or form == 1:
        return json.dumps(records[0] if len(records) == 1 else records).encode(), JSON
    if form == 2:
        return json.dumps({"instances": records}).encode(), JSON
    if form == 3:
        return "\n".join(json.dumps(record) for record in records).encode(), LINES
    if form == 4:
        return json.dumps(table[0] if len(table) == 1 else table).encode(), JSON
    if form == 7:
        columns = list(records[0])
        data = [[record.get(name) for name in columns] for record in records]
        return json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode(), JSON
    return _as_csv(names if form == 5 else None, table), CSV


def _as_csv(header: list[str] | None, table: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header] if header else [])
    writer.writerows([["" if cell is None else cell for cell in row] for row in table])
    return text.getvalue().encode()


# ---- the table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Hold programs of words and gaps against scikit-learn.")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*", help="only these pipelines")
    given = parser.parse_args()
    sys.stdout.write("| pipeline | compiled | joined | by program | compared | differing | why not |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- | --- | --- |\n")
    differing = 0
    for name in given.names or [*CASES, *POSITIONS]:
        pair = pair_of(name)
        counted = hold(pair, *asked_of(pair), given.count, given.seed)
        differing += counted.differing
        verdict = pair.verdict
        ways = {way.value for way in pair.served._joins.values()}
        share = counted.by_program / given.count
        told = "; ".join(verdict.reasons)[:120] if verdict else ""
        compiled = ", ".join(verdict.compiled) if verdict else ""
        sys.stdout.write(
            f"| {name} | {compiled or 'no'} | {', '.join(sorted(ways)) or 'no'} | {share:.0%} "
            f"| {counted.compared} | {counted.differing} | {told} |\n"
        )
        if counted.example:
            sys.stdout.write(f"    {counted.example}\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{differing} answers differ\n")
    sys.exit(min(1, differing))


def pair_of(name: str) -> Pair:
    """The two models of a pipeline."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Pair(fit(name))


def asked_of(pair: Pair) -> tuple[Sequence[str] | None, int]:
    """The columns that it is asked with, and how many they are."""
    return pair.served.columns, pair.served.features or 0


if __name__ == "__main__":
    main()
