"""One loaded model: who uses it, and what a call of it costs.

Not in here: when it comes and goes (cache).
"""

from collections.abc import Sequence

from service.hosting.cache.gate import Gate
from service.hosting.cache.source import ModelKey
from service.hosting.host import Answer, Model, ShortWay

IN_PLACE_S = 0.001
"""Longest a prediction may hold up the event loop."""

_RISE = 0.2


class Entry:
    """One loaded model and who uses it.

    `lines` are the batchers in front of it, one per gate, and `lanes` its short ways, one per pair of
    Content-Type and Accept; `turn` is higher the later it was last taken up.
    """

    __slots__ = (
        "_costs_s",
        "_model",
        "doomed",
        "front",
        "gate",
        "in_place",
        "key",
        "lanes",
        "last_used_s",
        "lines",
        "shown",
        "size_bytes",
        "turn",
        "users",
        "version",
    )

    def __init__(self, key: ModelKey, model: Model, version: str, now_s: float, gate: Gate) -> None:
        self.key = key
        self.version = version
        self.size_bytes = model.traits.size_bytes
        self.in_place = model.traits.in_place
        self.front = model.traits.front
        self.users = 0
        self.turn = 0
        self.last_used_s = now_s
        self.doomed = False
        self.shown: Answer | None = None  # its answer to its own example request
        self.gate = gate
        self.lanes: dict[tuple[str | None, str | None], ShortWay] = {}
        self.lines: dict[Gate, object] = {}
        self._model: list[Model] = [model]
        self._costs_s: dict[int, float] = {}

    @property
    def model(self) -> Model:
        """The model; only while the entry is pinned."""
        return self._model[0]

    def peek(self) -> Model | None:
        """The model, for who has no pin and does no more than look at it; None once it is handed over."""
        return next(iter(self._model), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the model by now; only while it is not handed over."""
        traits = self.model.traits
        return traits.warnings if traits.elsewhere is None else (*traits.warnings, *traits.elsewhere.notes())

    def runs_in_place(self, body_bytes: int) -> bool:
        """Whether a call of this size may be answered on the event loop.

        Only built-in code that was measured, on a body of about this size, to take less than IN_PLACE_S.
        """
        return self.in_place and self._costs_s.get(body_bytes.bit_length(), IN_PLACE_S) < IN_PLACE_S

    def short_way(self, headers: tuple[str | None, str | None], bodies: Sequence[bytes]) -> ShortWay | None:
        """The lane of these headers if all such calls run in place and it is up to date, else None.

        Only models that can run in place have lanes, and those with something in front of their process.
        """
        if self.front is not None:
            return self.front.lane(headers, bodies)
        lane = self.lanes.get(headers)
        if lane is None or lane.verdict is not lane.compiling.verdict:
            return None
        costs_s = self._costs_s
        for body in bodies:
            if not costs_s.get(len(body).bit_length(), IN_PLACE_S) < IN_PLACE_S:
                return None
        return lane

    def note_cost(self, body_bytes: int, seconds: float) -> None:
        """Remember what a call of this size took.

        A quicker one is believed at once, for it is the others that waited for a processor or for the
        interpreter; a slower one counts for a part.
        """
        size_class = body_bytes.bit_length()
        known_s = self._costs_s.get(size_class, seconds)
        if seconds > known_s:
            seconds = known_s + _RISE * (seconds - known_s)
        self._costs_s[size_class] = seconds

    def is_measured(self, body_bytes: int) -> bool:
        """Whether a call of about this size was measured."""
        return body_bytes.bit_length() in self._costs_s

    def forget_costs(self) -> None:
        """Measure anew: the model answers in another way from now on."""
        self._costs_s.clear()

    def surrender(self) -> list[Model]:
        """Hand over the only reference to the model, which nobody uses."""
        self.lanes.clear()
        self.front = None
        for each in self._model:
            if each.traits.elsewhere is not None:
                each.traits.elsewhere.let_go()
        model, self._model = self._model, []
        return model
