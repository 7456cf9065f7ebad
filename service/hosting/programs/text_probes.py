"""Texts to try a model with: of the words that it knows, and of what texts are known to break by."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from service.hosting.programs.probes import parts_of

_COUNT = 120
_MOST_WORDS = 400
_STRANGE = (
    *("Zürich", "naïve", "İstanbul", "ΣΊΣΥΦΟΣ", "straße", "ﬁnal", "cafe\u0301", "東京タワー", "привет"),
    *("👍🏽", "it's", "e-mail", "a_b", "x" * 300, "3.14", "\uff11\uff12", "٣", "NaN", "None", "<b>", "\\"),
    *("\u00ad", "\u200b", "\u2028", "\x00", "\ufeff", '"', "'", "a", "I", "THE", "the", "not", "very"),
)
_BETWEEN = (" ", " ", " ", "  ", "\t", "\n", ", ", ". ", "-", "_", "")
_EDGES = ("", " ", "\n\t", "a", "!?.,;", "\u3000", "the", "the and of", "0", "word " * 3000)


def probe_texts(estimator: Any, seed: int = 0) -> list[str]:
    """Short and long ones, of words that it knows, otherwise spelled ones and strange ones; edges."""
    random = np.random.default_rng(seed)
    words = _known_words(estimator, random)
    found = [*_EDGES, *_STRANGE, *words[:10], " ".join(words), *(f"{word} " * 9 for word in words[:3])]
    for number in range(_COUNT):
        size = int(random.choice((1, 2, 3, 5, 8, 13, 21, 34, 60, 150)))
        chosen = [words[at] for at in random.integers(0, len(words), size)]
        if number % 2:
            chosen = [_otherwise(word, random) for word in chosen]
        marks = random.choice(_BETWEEN if number % 3 else _BETWEEN[:3], size)
        found.append("".join(f"{word}{mark}" for word, mark in zip(chosen, marks, strict=True)))
    return found


def _otherwise(word: str, random: np.random.Generator) -> str:
    """A word in another spelling, or another one."""
    match int(random.integers(8)):
        case 0:
            return word.upper()
        case 1:
            return word.title()
        case 2:
            return f"{word}s"
        case 3:
            return word[::-1]
        case 4:
            return str(random.choice(_STRANGE))
    return word


def _known_words(estimator: Any, random: np.random.Generator) -> list[str]:
    """Some of those that its vectorizers know, and others."""
    known = list(islice(_vocabularies(estimator), 100_000))
    if len(known) > _MOST_WORDS:
        known = [known[at] for at in random.choice(len(known), _MOST_WORDS, replace=False)]
    return [*known, *_STRANGE, "good", "bad", "film", "price", "order", "late", "thanks", "money"]


def _vocabularies(estimator: Any) -> Iterator[str]:
    for part in parts_of(estimator):
        yield from getattr(part, "vocabulary_", ())
