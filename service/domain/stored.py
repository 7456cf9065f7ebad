"""Stored state as typed values and back: one codec, with defaults, that outlives what releases add to it.

A state says which `format` it has, from the second one on. What is missing has its default, and members that
are not known here are passed over: a state may have been written by the release before or by the one after.
So a member is only ever added, with a default; where that is not enough a `lift` leads states of one format
to the next one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from service.errors import StateDamaged

_Value = TypeVar("_Value")
Lift = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Leads a state of one format to the next one, and changes nothing in place."""

_FORMAT: Final = "format"


class StateCodec(Generic[_Value]):
    """Reads and writes what the store keeps of values of one type."""

    def __init__(self, form: type[_Value], lifts: Sequence[Lift] = ()) -> None:
        """`form` is how the value lies there: a dataclass or a Struct. `lifts` lead from format 1 to now."""
        self._form = form
        self._lifts = tuple(lifts)

    def read(self, state: Mapping[str, Any]) -> _Value:
        """From what the store keeps, whichever release wrote it.

        Raises:
            StateDamaged: a member that must be there is missing, or one is of another type.
        """
        for lift in self._lifts[state.get(_FORMAT, 1) - 1 :]:
            state = lift(state)
        try:
            return msgspec.convert(state, self._form)
        except msgspec.ValidationError as error:
            raise StateDamaged(f"A state that the database holds is none of ours: {error}.") from error

    def write(self, value: _Value) -> dict[str, Any]:
        """What the store keeps, as plain values."""
        written: dict[str, Any] = msgspec.to_builtins(value)
        return {_FORMAT: len(self._lifts) + 1, **written} if self._lifts else written
