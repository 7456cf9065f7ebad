"""A call on its way to a model's other process and back: through the gate, in time, without a task."""

from collections.abc import Callable
from typing import Protocol

from service.errors import ModelTimeout, ModelUnreachable
from service.hosting.cache.entry import Entry
from service.hosting.cache.gate import Gate
from service.hosting.calls.deadlines import Deadlines
from service.hosting.host import Call, Elsewhere, Outcome
from service.hosting.stopwatch import Stopwatch
from service.promise import BegunCall


class Gone(ModelUnreachable):
    """A model's other process is no more, and had not taken the call."""

    def __init__(self, entry: Entry, message: str) -> None:
        super().__init__(message)
        self.entry = entry


class CallKeeper(Protocol):
    """What all such calls of one replica share."""

    deadlines: Deadlines

    def release(self, entry: Entry) -> None:
        """End one use of a model."""
        ...

    def late(self, entry: Entry) -> ModelTimeout:
        """What is told of a call that took too long."""
        ...


class CallElsewhere:
    """One call, for which its entry was pinned; the pin is released here."""

    __slots__ = (
        "_begun",
        "_call",
        "_elsewhere",
        "_entry",
        "_gate",
        "_is_inside",
        "_keeper",
        "_told",
        "_watch",
    )

    def __init__(
        self,
        keeper: CallKeeper,
        entry: Entry,
        gate: Gate,
        elsewhere: Elsewhere,
        call: Call,
        watch: Stopwatch,
        told: Callable[[Outcome], object],
    ) -> None:
        """`told` hears what came of it, once and never before `start` returns; not if it is given up."""
        self._keeper, self._entry, self._gate, self._elsewhere = keeper, entry, gate, elsewhere
        self._call, self._watch = call, watch
        self._told: Callable[[Outcome], object] | None = told
        self._is_inside = False
        self._begun: BegunCall | None = None

    def start(self, due_s: float) -> None:
        """Go in, or stand in line; it expires at a time of the event loop. Raises Unavailable."""
        try:
            is_inside = self._gate.let_in(self)
        except BaseException:
            self._told = None
            self._keeper.release(self._entry)
            raise
        self._keeper.deadlines.add(self, due_s)
        if is_inside:
            self.set_result(None)

    def done(self) -> bool:
        """See gate.InLine."""
        return self._told is None

    def set_result(self, _place: None, /) -> None:
        """See gate.InLine."""
        self._is_inside = True
        self._begun = self._elsewhere.begin(self._call, self._answered, self._watch)

    def expire(self) -> None:
        """See deadlines.Limited."""
        self._end(self._keeper.late(self._entry))

    def give_up(self) -> None:
        """Who asked waits no longer."""
        self._end(None)

    def _answered(self, outcome: Outcome) -> None:
        self._begun = None
        if isinstance(outcome, ModelUnreachable) and self._elsewhere.look() is None:
            gone = Gone(self._entry, outcome.message)
            gone.__cause__ = outcome
            outcome = gone
        self._end(outcome)

    def _end(self, outcome: Outcome | None) -> None:
        told, self._told = self._told, None
        if told is None:
            return
        self._watch.stop()
        self._keeper.deadlines.discard(self)
        if self._begun is not None:
            self._begun.give_up()
        if self._is_inside:
            self._gate.leave()
        else:
            self._gate.leave_line(self)
        self._keeper.release(self._entry)
        if outcome is not None:
            told(outcome)
