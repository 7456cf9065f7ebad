"""Labels as they come, one by one: what the outcome of each prediction is, and how good all of them are.

What is predicted (which classes, or numbers) shows from labels and answers alone, so it may have to be told
anew when a label comes that was not known: then all that was counted has to be counted again. Where that is a
lot, such labels are taken for wrong ones until there are enough of them: whoever makes up labels must not be
able to have all counted again and again.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from service.errors import UnclearAnswer
from service.experiments.answers import Task, canonical, read_items, tell_task
from service.experiments.class_quality import ClassQuality
from service.experiments.grading import Grades, grade
from service.experiments.number_quality import NumberQuality
from service.experiments.reports import MOST

_SAMPLE = 200
_QUICKLY_COUNTED = 10_000  # so many labels are counted again as soon as a new one comes
_STRANGE = 0.01  # of those beyond: so many have to be new
_MOST_NAMES = 50
_MOST_OTHERS = 50  # names beside the classes, which figures tell apart
_OTHER_LABELS, _OTHER_ANSWERS = "other labels", "other answers"


class Labels:
    """The labels of one experiment, by variant."""

    def __init__(self, task: Task | None = None) -> None:
        """`task` is what is predicted, where that is known from before."""
        self.task = task
        """None as long as there is no label."""
        self.quality: dict[str, ClassQuality | NumberQuality] = {}
        self.unclear = 0
        """Answers that say nothing about what labels are."""
        self._names: set[str] = set()
        self._others: set[str] = set()
        self._sample: list[Any] = []
        self._counted = 0
        self._strange: set[str] = set()  # names of labels that nobody has learnt yet
        self._strangers = 0  # labels with such names

    @property
    def binary(self) -> bool:
        """Whether outcomes are right or wrong, rather than how far off."""
        return self.task is None or bool(self.task.classes)

    def learn(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Look at (label, answer) pairs; True if there was a label that was not known."""
        before = len(self._names)
        for label, answer in pairs:
            if len(self._names) < _MOST_NAMES:
                self._names.add(canonical(label))
            if len(self._sample) < _SAMPLE:
                with suppress(UnclearAnswer):
                    self._sample.append(read_items(answer.encode(), 1)[0])
        return len(self._names) > before

    def meet(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Look at pairs before they are counted; True if all has to be counted anew."""
        pairs = [*pairs]
        if self._counted > _QUICKLY_COUNTED:
            if not self._are_strange_enough(pairs):
                return False
            self._names |= self._strange
            self._strange, self._strangers = set(), 0
        elif not self.learn(pairs):
            return False
        before, self.task = self.task, tell_task(sorted(self._names), self._sample)
        return before != self.task

    def _are_strange_enough(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Whether so many labels were not known by now that it is worth to count all again."""
        room = _MOST_NAMES - len(self._names)
        for label, _ in pairs if room > 0 else ():
            if (name := canonical(label)) not in self._names:
                self._strangers += 1
                if len(self._strange) < room:
                    self._strange.add(name)
        return self._strangers > (self._counted - _QUICKLY_COUNTED) * _STRANGE

    def forget(self) -> None:
        """Count from the beginning."""
        self.quality, self.unclear, self._others, self._counted = {}, 0, set(), 0

    def count(self, variant: str, label: str, answer: str | None) -> float | None:
        """Count a prediction that was met: 1 or 0 for right or wrong, or how far off; None: unclear."""
        self._counted += 1
        graded = None if self.task is None or answer is None else _graded(self.task, label, answer)
        if graded is None:
            self.unclear += 1
            return None
        if isinstance(graded.quality, ClassQuality):
            graded.quality.confusion = self._named(graded.quality.confusion)
        known = self.quality.get(variant)
        if known is None:
            self.quality[variant] = graded.quality
        else:
            _merge(known, graded.quality)
        return graded.outcomes[0]

    def _named(self, confusion: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
        """It without the names that are too many: whoever reports labels may say anything in each of them."""
        return Counter(
            {
                (
                    self._name(label, _OTHER_LABELS),
                    self._name(said, _OTHER_LABELS if said == label else _OTHER_ANSWERS),
                ): n
                for (label, said), n in confusion.items()
            }
        )

    def _name(self, name: str, otherwise: str) -> str:
        if self.task is not None and name in self.task.classes:
            return name
        if name not in self._others and len(self._others) >= _MOST_OTHERS:
            return otherwise
        self._others.add(name)
        return name


def _merge(known: ClassQuality | NumberQuality, new: ClassQuality | NumberQuality) -> None:
    """Count what is new; both are of one task."""
    if isinstance(known, ClassQuality):
        if isinstance(new, ClassQuality):
            known.merge(new)
    elif isinstance(new, NumberQuality):
        known.merge(new)


def _graded(task: Task, label: str, answer: str) -> Grades | None:
    try:
        if not task.classes and not abs(float(label)) <= MOST:  # nor is it NaN
            return None
        graded = grade(task, [label], {0: read_items(answer.encode(), 1)[0]})
    except (UnclearAnswer, ValueError):  # ValueError: a word where labels are numbers
        return None
    return graded if graded.outcomes[0] <= MOST else None
