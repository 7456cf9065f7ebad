"""How long a model was at one call: measured where it runs, read by whoever counts, whatever comes of it."""

from time import perf_counter


class Stopwatch:
    """Started when the model takes up a call, stopped when it is done with it; 0 seconds until it starts."""

    __slots__ = ("_begun_s", "_ended_s")

    def __init__(self) -> None:
        self._begun_s: float | None = None
        self._ended_s: float | None = None

    def start(self) -> None:
        """The model begins: what came before was waiting."""
        self._begun_s = perf_counter()

    def stop(self) -> None:
        """The model has answered, or failed."""
        self._ended_s = perf_counter()

    def add(self, seconds: float) -> None:
        """So much more was measured elsewhere, for one that is never started itself."""
        if self._begun_s is None or self._ended_s is None:
            self._begun_s = self._ended_s = 0.0
        self._ended_s += seconds

    @property
    def seconds(self) -> float:
        """What the model took; of a call that it is still at, what it has taken so far."""
        if self._begun_s is None:
            return 0.0
        return (perf_counter() if self._ended_s is None else self._ended_s) - self._begun_s
