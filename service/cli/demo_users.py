"""The demo's users: simulated ones, who ask for a prediction each and say later what was right."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import httpx

ENDPOINT: Final = "iris"

_ERROR_CM: Final = 0.15  # of a measurement, as a standard deviation
_LEAST_CM: Final = 0.1
_RETURNING: Final = 0.25  # of calls, by users who have asked before
_MOST_RETURNING: Final = 200
_LATER_S: Final = (1.0, 5.0)
_MOST_AT_ONCE: Final = 200
_REPORT_S: Final = 0.5


class Measured(Protocol):
    """A flower of the data set."""

    @property
    def lengths(self) -> tuple[float, ...]:
        """In cm."""
        ...

    @property
    def species(self) -> str:
        """What it is."""
        ...


class DemoUsers:
    """All of them, one after the other; whoever calls `step` again and again has them ask at the rate."""

    def __init__(
        self,
        client: httpx.Client,
        flowers: Sequence[Measured],
        rate: float,
        chance: random.Random,
        now_s: float,
    ) -> None:
        """They begin to ask `now_s`, on a clock that never goes back."""
        self._client = client
        self._flowers = flowers
        self._rate = rate
        self._chance = chance
        self._next_s = now_s
        self._report_s = now_s
        self._run = f"{chance.getrandbits(32):08x}"
        self._number = 0
        self._known: deque[str] = deque(maxlen=_MOST_RETURNING)
        self._due: list[tuple[float, dict[str, Any]]] = []
        self.calls = 0
        self.outcomes = 0
        self.failures = 0
        self.trouble = ""
        """What was wrong with the last call that failed."""

    def step(self, now_s: float) -> None:
        """Ask and report what is due. Raises nothing of HTTP's: it counts as a failure."""
        if now_s - self._next_s > 1.0:  # a machine that is busy is not asked for what was missed
            self._next_s = now_s - 1.0
        while self._next_s <= now_s:
            self._next_s += 1 / self._rate
            self._attempt(lambda: self._ask(now_s))
        if now_s >= self._report_s and self._due:
            self._report_s = now_s + _REPORT_S
            self._attempt(lambda: self._report(now_s))

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except httpx.HTTPError as error:
            self.failures += 1
            self.trouble = str(error) or type(error).__name__

    def _ask(self, now_s: float) -> None:
        flower = self._chance.choice(self._flowers)
        lengths = [max(_LEAST_CM, self._chance.gauss(each, _ERROR_CM)) for each in flower.lengths]
        response = self._client.post(
            f"/endpoints/{ENDPOINT}/invocations",
            content=",".join(f"{each:.2f}" for each in lengths),
            headers={"Content-Type": "text/csv", "X-Sagebird-User": self._user()},
        )
        response.raise_for_status()
        self.calls += 1
        outcome = {"inference_id": response.headers["x-amzn-sagemaker-inference-id"], "label": flower.species}
        self._due.append((now_s + self._chance.uniform(*_LATER_S), outcome))

    def _user(self) -> str:
        if self._known and self._chance.random() < _RETURNING:
            return self._chance.choice(self._known)
        self._number += 1
        self._known.append(f"simulated-{self._run}-{self._number}")
        return self._known[-1]

    def _report(self, now_s: float) -> None:
        ready = [outcome for due_s, outcome in self._due if due_s <= now_s][:_MOST_AT_ONCE]
        if not ready:
            return
        response = self._client.post(f"/endpoints/{ENDPOINT}/outcomes", json=ready)
        response.raise_for_status()
        told = {outcome["inference_id"] for outcome in ready}
        self._due = [each for each in self._due if each[1]["inference_id"] not in told]
        self.outcomes += len(ready)
