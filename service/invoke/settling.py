"""What came of an invocation: the one place where it is counted and told to whoever listens.

Its reply, with the log line of one that failed, is the face's that was asked. Nothing in here stands between
a caller and an answer: what goes wrong while it is counted or told is logged.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from service.errors import SagebirdError
from service.hosting.host import Answer
from service.http.failures import is_callers, log_bug
from service.invoke.directory import Target
from service.invoke.invocation import Invocation
from service.observe.counts import Registry


class Settled(NamedTuple):
    """One invocation that is over: who asked what of which variant, and what came of it.

    `duration_s` is how long it took since it was taken up, and `model_s` the model's part of that, also where
    that answered others at the same time.
    """

    invocation: Invocation
    variant: str
    outcome: Answer | Exception
    duration_s: float
    model_s: float


Tap = Callable[[Settled], None]
"""Is told of each invocation that is over, on the event loop. What it raises is logged and harms nobody."""


class Settling:
    """Settles invocations: counts them where their variant's counter is, and tells the taps."""

    __slots__ = ("taps",)

    def __init__(self, taps: Sequence[Tap] = ()) -> None:
        self.taps = tuple(taps)

    def answered(self, target: Target, number: int, duration_s: float, model_s: float) -> None:
        """So many invocations were answered that took as long."""
        try:
            target.counter.count(duration_s, model_s, number)
        except Exception as error:
            log_bug("invocations not counted", error)

    def failed(self, target: Target, error: Exception, duration_s: float, model_s: float) -> None:
        """One invocation failed. Source: contract E.1, by the container's status."""
        try:
            code = error.code if isinstance(error, SagebirdError) else SagebirdError.code
            target.counter.count_error(duration_s, code, _status_class(error), model_s)
        except Exception as bug:
            log_bug("invocations not counted", bug)

    def refused(self, registry: Registry, error: SagebirdError) -> None:
        """An invocation was refused before it came to a variant."""
        try:
            registry.count_refusal(error.code)
        except Exception as bug:
            log_bug("invocations not counted", bug)

    def tell(self, settled: Settled) -> None:
        """Tell the taps of one."""
        for tap in self.taps:
            try:
                tap(settled)
            except Exception as error:
                log_bug("tap failed", error)


def _status_class(error: Exception) -> Literal[4, 5]:
    return 4 if is_callers(error) else 5
