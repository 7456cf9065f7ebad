"""The versions of declared models' files, and which change of them counts as a new version of the model.

A change counts once nothing more changed for a while: files are written one after the other. Code that writes
into its own folder while it is loaded makes another version by each load, and its model would be loaded for
ever. It cannot be told from somebody who edits files while a model loads: so after some such changes in a row
each has to wait twice as long as the one before until it counts, and in the end none does.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from service.control.resources import OperationContext
from service.log import get_logger

_QUICK_OWN: Final = 3
"""So many in a row count as soon as others."""
_FIRST_WAIT_S: Final = 15.0
_MOST_OWN: Final = 10
"""The last one has waited 16 minutes."""


@dataclass(frozen=True, slots=True)
class _Version:
    """The version of a model's files as it was met last, since when, and the last one that counts.

    `is_own`: the one that was met came about while the model was loaded. `own` counts how many such came to
    count in a row.
    """

    met: str
    since_s: float
    settled: str
    is_own: bool = False
    own: int = 0

    @property
    def is_passed_over(self) -> bool:
        """Whether what was met is one that its own code makes by each load."""
        return self.is_own and self.own >= _MOST_OWN and self.met != self.settled

    def settle(self, now_s: float, settle_s: float) -> "_Version":
        """What is known once nothing changed for so long."""
        if self.met == self.settled or now_s - self.since_s < self._wait_s(settle_s) or self.is_passed_over:
            return self
        return replace(self, settled=self.met, own=self.own + 1 if self.is_own else 0)

    def _wait_s(self, settle_s: float) -> float:
        if not self.is_own or self.own < _QUICK_OWN:
            return settle_s
        return max(settle_s, _FIRST_WAIT_S * 2.0 ** (self.own - _QUICK_OWN))


class Versions:
    """What is known of the versions of some models; `look` again and again."""

    def __init__(
        self,
        context: OperationContext,
        loading: Callable[[], Collection[str]],
        settle_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        """`loading` names where the models lie that are being loaded now; the rest is as DeclaredFile's."""
        self._context = context
        self._loading = loading
        self._settle_s = settle_s
        self._monotonic = monotonic
        self._known: dict[Path, _Version] = {}
        self._loaded_s: dict[Path, float] = {}  # when each was seen to be loading last, on the wall's clock
        self._log = get_logger("sagebird.declared")

    def note_loads(self) -> None:
        """Note which of the models are being loaded now. Costs little: call it more often than `look`."""
        loading = self._loading() if self._known else ()
        for path in self._known:
            if path.as_uri() in loading:
                self._loaded_s[path] = self._context.clock.now().timestamp()

    def look(self, paths: Iterable[Path]) -> None:
        """Look at the models that are declared by now."""
        self.note_loads()
        now_s = self._monotonic()
        known, self._known = self._known, {}
        for path in paths:
            self._known[path] = self._look_at(path, known.get(path), now_s)
        self._loaded_s = {path: at_s for path, at_s in self._loaded_s.items() if path in self._known}

    def settled(self) -> tuple[str, ...]:
        """The versions that count, of all of them in their order."""
        return tuple(version.settled for version in self._known.values())

    def _look_at(self, path: Path, before: _Version | None, now_s: float) -> _Version:
        met = self._context.version_of_declared(str(path))
        if before is None:
            return _Version(met, now_s, met)
        if met != before.met:
            is_own = self._context.changed_s(path) <= self._loaded_s.get(path, 0.0)
            before = replace(before, met=met, since_s=now_s, is_own=is_own)
            if before.is_passed_over:
                self._log.warning(
                    "model writes into its own folder as it is loaded: that makes no new version any more",
                    model=path.name,
                )
            elif is_own and before.own == _QUICK_OWN:
                self._log.warning(
                    "model writes into its own folder as it is loaded, or somebody else does: "
                    "new versions wait ever longer",
                    model=path.name,
                )
        return before.settle(now_s, self._settle_s)
