"""How often two variants answer the same live rows differently: added up as calls come, bounded, no row kept.

What callers sent is nowhere in here: of a row on which variants differ there is what each of them said in
short, and the id by which its caller knows the call.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from service.errors import UnclearAnswer
from service.experiments.agreement import ALPHA, MOST_EXAMPLES, MOST_PAIRS
from service.experiments.answers import as_number, headline, read_items
from service.experiments.proportions import share_interval

_MOST_KNOWN_PAIRS: Final = 100
_MOST_CHARS: Final = 64

VariantPair = tuple[str, str]
"""Two variants by name, in the order of the alphabet; or what each of them says of a row."""


@dataclass(slots=True)
class LiveTally:
    """What is known of two variants: rows that both were asked, and how their answers differ.

    `numeric` rows were answered by a number each, `fractional` by one that is no whole number; `apart` is how
    far apart these numbers are, in sum. `failed` calls the second one did not answer, `unclear` answers
    nobody could put side by side.
    """

    rows: int = 0
    differing: int = 0
    numeric: int = 0
    fractional: int = 0
    apart: float = 0.0
    furthest: float = 0.0
    failed: int = 0
    unclear: int = 0
    pairs: Counter[VariantPair] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def meet(self, said: Sequence[VariantPair], at_s: float, inference_id: str | None) -> None:
        """Add one call: what the two say of each of its rows."""
        for row, (one, two) in enumerate(said):
            self.rows += 1
            self._measure(one, two)
            if one != two:
                self.differing += 1
                self._count((one[:_MOST_CHARS], two[:_MOST_CHARS]), 1)
                if len(self.examples) < MOST_EXAMPLES:
                    self.examples.append(_example(one, two, row, at_s, inference_id))

    def add(self, other: "LiveTally") -> None:
        """Add what was counted later, elsewhere: the newest examples stay."""
        for name in ("rows", "differing", "numeric", "fractional", "apart", "failed", "unclear"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.furthest = max(self.furthest, other.furthest)
        for pair, number in other.pairs.items():
            self._count(pair, number)
        self.examples = [*self.examples, *other.examples][-MOST_EXAMPLES:]

    def _count(self, pair: VariantPair, number: int) -> None:
        if pair in self.pairs or len(self.pairs) < _MOST_KNOWN_PAIRS:
            self.pairs[pair] += number

    def _measure(self, one: str, two: str) -> None:
        first, second = as_number(one), as_number(two)
        if first is None or second is None:
            return
        self.numeric += 1
        self.fractional += not (first.is_integer() and second.is_integer())
        distance = abs(first - second)
        if distance < float("inf"):
            self.apart += distance
            self.furthest = max(self.furthest, distance)

    def told(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        pairs = [[*pair, number] for pair, number in self.pairs.items()]
        return {**asdict(self), "pairs": pairs}

    @classmethod
    def of_told(cls, told: Mapping[str, Any]) -> "LiveTally":
        """The reverse of `told`."""
        return cls(**{**told, "pairs": Counter({(one, two): number for one, two, number in told["pairs"]})})

    def document(self, names: VariantPair, control: str) -> dict[str, Any]:
        """As `sagebird compare` tells of rows of a file, of these two variants, the control first."""
        first = names.index(control) if control in names else 0
        lower, upper = share_interval(self.differing, self.rows, ALPHA)
        measured = self.rows == self.numeric and self.fractional > 0
        return {
            "control": names[first],
            "variant": names[1 - first],
            "rows": self.rows,
            "differing": self.differing,
            "share": self.differing / self.rows if self.rows else None,
            "lower": lower,
            "upper": upper,
            "pairs": [] if measured else self._most_common(first),
            "mean_distance": self.apart / self.rows if measured else None,
            "largest_distance": self.furthest if measured else None,
            "failed": self.failed,
            "unclear": self.unclear,
            "examples": [_turned(each, first) for each in reversed(self.examples)],
        }

    def _most_common(self, first: int) -> list[dict[str, Any]]:
        return [
            {"control": pair[first], "challenger": pair[1 - first], "rows": number}
            for pair, number in self.pairs.most_common(MOST_PAIRS)
        ]


@dataclass(slots=True)
class LiveAgreement:
    """The tallies of an experiment, and how many calls were not asked twice that should have been."""

    generation: int
    dropped: int = 0
    tallies: dict[VariantPair, LiveTally] = field(default_factory=dict)

    def tally(self, pair: VariantPair) -> LiveTally:
        """That of two variants."""
        return self.tallies.setdefault(pair, LiveTally())

    def add(self, other: "LiveAgreement") -> None:
        """Add what was counted elsewhere of the same fleet."""
        self.dropped += other.dropped
        for pair, tally in other.tallies.items():
            self.tally(pair).add(tally)

    def told(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        tallies = [[*pair, tally.told()] for pair, tally in self.tallies.items()]
        return {"generation": self.generation, "dropped": self.dropped, "tallies": tallies}

    @classmethod
    def of_told(cls, told: Mapping[str, Any]) -> "LiveAgreement":
        """The reverse of `told`."""
        tallies = {(one, two): LiveTally.of_told(each) for one, two, each in told["tallies"]}
        return cls(told["generation"], told["dropped"], tallies)


def read_both(rows: int, one: bytes, two: bytes) -> list[VariantPair]:
    """What two answers to the same rows say of each of them, in short.

    Raises:
        UnclearAnswer: nobody can put them side by side.
    """
    found = [[headline(item) for item in read_items(body, rows)] for body in (one, two)]
    return list(zip(*found, strict=True))


def count_rows(body: bytes, content_type: str | None) -> int:
    """How many rows are asked for, as well as a look from outside tells: lines of CSV, items of JSON."""
    if (content_type or "").startswith("text/csv"):
        return sum(1 for line in body.splitlines() if line.strip()) or 1
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return 1
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else document
    if isinstance(document, list) and document and all(isinstance(each, list | dict) for each in document):
        return len(document)
    return 1


def rows_of_both(body: bytes, content_type: str | None, one: bytes, two: bytes) -> list[VariantPair]:
    """As `read_both`, for a request as it came: a head of CSV is no row, and what is no table is one.

    Raises:
        UnclearAnswer: nobody can put the answers side by side.
    """
    rows = count_rows(body, content_type)
    for number in sorted({rows, max(1, rows - 1), 1}, reverse=True):
        try:
            return read_both(number, one, two)
        except UnclearAnswer as error:
            unclear = error
    raise unclear


def _example(one: str, two: str, row: int, at_s: float, inference_id: str | None) -> dict[str, Any]:
    return {
        "at": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds"),
        "inference_id": inference_id,
        "row": row + 1,
        "said": [one[:_MOST_CHARS], two[:_MOST_CHARS]],
    }


def _turned(example: Mapping[str, Any], first: int) -> dict[str, Any]:
    one, two = (example["said"][first], example["said"][1 - first])
    return {name: example[name] for name in ("at", "inference_id", "row")} | {
        "control": one,
        "challenger": two,
    }
