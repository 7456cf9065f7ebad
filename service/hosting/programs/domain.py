"""What a program answers for; what it does not take is the estimator's own business.

Most programs stand for methods that refuse nan and infinity, and trees hold their rows in float32. Trees know
what to make of gaps, and some of any number. Others take texts.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from service.hosting.programs.agreement import Step
from service.native import kernels

LIMIT = float(np.finfo(np.float32).max) ** 2
"""The square of the largest number that float32 holds: below it a sum of squares has nothing larger in it."""

_PLAIN, _GAPS, _BEYOND = range(3)


def is_plain(rows: Any) -> bool:
    """Whether float32 holds every number of rows."""
    found = _look_over(rows)
    return found == _PLAIN if found <= _BEYOND else bool(np.vdot(rows, rows) < LIMIT)


def is_gapped(rows: Any) -> bool:
    """Whether every number of rows is nan, or one that float32 holds."""
    found = _look_over(rows)
    if found <= _BEYOND:
        return found <= _GAPS
    held = np.where(np.isnan(rows), 0.0, rows)
    return bool(np.vdot(held, held) < LIMIT)


def _look_over(rows: Any) -> int:
    """What the kernel says of their numbers, as they lie in memory; more than _BEYOND if it says nothing."""
    if kernels is None:
        return _BEYOND + 1
    return int(kernels.look_over(rows if rows.flags.c_contiguous else rows.ravel("K")))


class Domain(Enum):
    """What may be in the rows of a program, or that it takes texts in place of rows."""

    PLAIN = "what float32 holds"
    GAPS = "what float32 holds, and nan"
    ANY = "any float64"
    TEXTS = "texts"

    def holds(self, rows: Any) -> bool:
        """Whether rows, which are known not to be plain, are in it."""
        if self is Domain.GAPS:
            return is_gapped(rows)
        return self is Domain.ANY


@dataclass(frozen=True, slots=True)
class Wide:
    """A program for more than plain rows."""

    step: Step
    domain: Domain

    def __call__(self, rows: Any) -> Any:
        """The answer of the program itself."""
        return self.step(rows)


def domain_of(program: Step) -> Domain:
    """What a program says that it takes."""
    return program.domain if isinstance(program, Wide) else Domain.PLAIN


def bare(program: Step) -> Step:
    """The program itself, without what it says of its domain."""
    return program.step if isinstance(program, Wide) else program


def widened(rows: Any, domain: Domain, seed: int = 0) -> Any:
    """The rows with some numbers in them that are in the domain and not plain."""
    random = np.random.default_rng(seed)
    odd = (np.nan,) if domain is Domain.GAPS else (np.nan, np.nan, np.inf, -np.inf, 1e300, -1e300)
    drawn = random.choice(odd, rows.shape)
    found = np.where(random.random(rows.shape) < random.choice((0.1, 0.4), (len(rows), 1)), drawn, rows)
    found[::16] = np.nan
    return found
