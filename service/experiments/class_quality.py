"""How good predicted classes are, from labels: what is counted of them adds up over processes.

For the ROC curve each different score is counted; when there are too many, to four decimals.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from sys import float_info
from typing import Any

MOST_SCORES = 10_000
BINS = 10
_DECIMALS = 4


@dataclass(slots=True)
class Ranks:
    """How often each score was given where the label was another (first) or this class (second)."""

    counts: dict[float, list[int]] = field(default_factory=dict)
    rounded: bool = False

    def add(self, score: float, is_class: bool, times: int = 1) -> None:
        """Count a score."""
        pair = self.counts.setdefault(round(score, _DECIMALS) if self.rounded else score, [0, 0])
        pair[is_class] += times
        if len(self.counts) > MOST_SCORES and not self.rounded:
            self._round()

    def merge(self, other: "Ranks") -> None:
        """Count what another process counted."""
        if other.rounded and not self.rounded:
            self._round()
        for score, (others, own) in other.counts.items():
            self.add(score, False, others)
            self.add(score, True, own)

    def _round(self) -> None:
        before, self.counts, self.rounded = self.counts, {}, True
        for score, (others, own) in before.items():
            self.add(score, False, others)
            self.add(score, True, own)

    def area(self) -> float | None:
        """The area under the ROC curve: how often a score of the class is above another's, ties as half."""
        passed, above = 0, 0.0
        for _, (others, own) in sorted(self.counts.items()):
            above += own * (passed + others / 2)
            passed += others
        owns = sum(own for _, own in self.counts.values())
        return above / (passed * owns) if passed and owns else None


@dataclass(slots=True)
class ClassQuality:
    """Predictions of one variant held against labels.

    Args:
        classes: all there are, in the order of the scores. Of two the second is the positive one.
        confusion: counts of (label, prediction).
        ranks: by class; of two classes the positive one's alone.
        bins: predictions with scores, by the score of the positive class, or of the predicted one where there
            are more than two: how many, the sum of the scores, and how many were of that class.
        log_loss: the sum over predictions with scores.
    """

    classes: tuple[str, ...]
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    ranks: dict[str, Ranks] = field(default_factory=dict)
    bins: list[tuple[int, float, int]] = field(default_factory=lambda: [(0, 0.0, 0)] * BINS)
    scored: int = 0
    log_loss: float = 0.0

    def add(self, label: str, predicted: str, scores: Sequence[float] | None) -> None:
        """Count one prediction; `scores` are probabilities in the order of the classes, if there are any."""
        self.confusion[label, predicted] += 1
        if scores is None or label not in self.classes:
            return
        chances = dict(zip(self.classes, scores, strict=True))
        self.scored += 1
        self.log_loss -= log(min(max(chances[label], float_info.epsilon), 1 - float_info.epsilon))
        for name in self._ranked():
            self.ranks.setdefault(name, Ranks()).add(chances[name], label == name)
        shown = predicted if len(self.classes) > 2 else self.classes[-1]
        if shown in chances:
            self._calibrate(chances[shown], label == shown)

    def merge(self, other: "ClassQuality") -> None:
        """Count what another process counted of the same classes."""
        self.confusion.update(other.confusion)
        for name, ranks in other.ranks.items():
            self.ranks.setdefault(name, Ranks()).merge(ranks)
        self.bins = [
            (one[0] + two[0], one[1] + two[1], one[2] + two[2])
            for one, two in zip(self.bins, other.bins, strict=True)
        ]
        self.scored += other.scored
        self.log_loss += other.log_loss

    def document(self) -> dict[str, Any]:
        """All figures as JSON can hold them; what has no scores is None."""
        count = self.confusion.total()
        right = sum(number for (label, predicted), number in self.confusion.items() if label == predicted)
        classes = {name: self._of_class(name) for name in self._seen()}
        areas = [self.ranks[name].area() for name in self._ranked() if name in self.ranks]
        known = [area for area in areas if area is not None]
        return {
            "count": count,
            "accuracy": right / count if count else None,
            "positive": self.classes[-1] if len(self.classes) == 2 else None,
            "classes": classes,
            "macro": {
                name: _mean([figures[name] for figures in classes.values()])
                for name in ("precision", "recall", "f1")
            },
            "confusion": [
                {"label": label, "predicted": predicted, "count": number}
                for (label, predicted), number in sorted(self.confusion.items())
            ],
            "roc_auc": _mean(known) if known and len(known) == len(areas) else None,
            "log_loss": self.log_loss / self.scored if self.scored else None,
            "calibration": self._calibration(),
            "calibration_error": self._calibration_error(),
        }

    def _ranked(self) -> Sequence[str]:
        return self.classes[-1:] if len(self.classes) == 2 else self.classes

    def _seen(self) -> list[str]:
        others = {name for pair in self.confusion for name in pair} - set(self.classes)
        return [*self.classes, *sorted(others)]

    def _of_class(self, name: str) -> dict[str, Any]:
        hits = self.confusion[name, name]
        labelled = sum(number for (label, _), number in self.confusion.items() if label == name)
        predicted = sum(number for (_, said), number in self.confusion.items() if said == name)
        return {
            "true_positives": hits,
            "false_positives": predicted - hits,
            "false_negatives": labelled - hits,
            "true_negatives": self.confusion.total() - labelled - predicted + hits,
            "precision": hits / predicted if predicted else 0.0,
            "recall": hits / labelled if labelled else 0.0,
            "f1": 2 * hits / (labelled + predicted) if labelled + predicted else 0.0,
        }

    def _calibrate(self, chance: float, is_class: bool) -> None:
        # As scikit-learn's: a bin holds its upper edge.
        number = next((edge for edge in range(BINS) if chance <= (edge + 1) / BINS), BINS - 1)
        count, total, own = self.bins[number]
        self.bins[number] = (count + 1, total + chance, own + is_class)

    def _calibration(self) -> list[dict[str, Any]]:
        return [
            {"from": number / BINS, "to": (number + 1) / BINS, "count": count}
            | {"mean_score": total / count, "share": own / count}
            for number, (count, total, own) in enumerate(self.bins)
            if count
        ]

    def _calibration_error(self) -> float | None:
        """How far scores are from what then was, on average over predictions."""
        count = sum(number for number, _, _ in self.bins)
        return sum(abs(total - own) for _, total, own in self.bins) / count if count else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
