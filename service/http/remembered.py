"""What is remembered because it may be asked again: bounded in number and in bytes, its keys included."""

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """A memory of two generations: what nobody asks for while a generation fills is forgotten with the next.

    So it never forgets everything at once, and finding costs one look-up.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        """`most` and `most_bytes` bound both generations together."""
        self.young: dict[Key, Value] = {}  # always the same object, so that its `get` may be kept
        self._old: dict[Key, Value] = {}
        self._sizes: dict[Key, int] = {}
        self._most = most // 2
        self._most_bytes = most_bytes // 2
        self._bytes = 0

    def find(self, key: Key) -> Value | None:
        """What is remembered for this."""
        found = self.young.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self.keep(key, found, self._sizes[key])
        return found

    def keep(self, key: Key, value: Value, size_bytes: int) -> None:
        """Remember something that holds so many bytes; what is too large for the whole is not kept."""
        if size_bytes > self._most_bytes:
            return
        if len(self.young) >= self._most or self._bytes + size_bytes > self._most_bytes:
            self._old = dict(self.young)
            self._sizes = {old: self._sizes[old] for old in self._old}
            self.young.clear()
            self._bytes = 0
        self.young[key] = value
        self._sizes[key] = size_bytes
        self._bytes += size_bytes

    def forget(self) -> None:
        """Forget everything."""
        self.young.clear()
        self._old, self._sizes, self._bytes = {}, {}, 0

    def __contains__(self, key: Key) -> bool:
        return key in self.young or key in self._old

    def __len__(self) -> int:
        return len(self.young.keys() | self._old.keys())


class Epoch:
    """How long what is remembered of requests is good: until it changes who may ask for what.

    Whoever changes that moves the epoch, and all that was remembered in it is forgotten. So a request costs
    nothing more, and who is turned away from now on is so with the next one.
    """

    def __init__(self) -> None:
        self.number = 0
        """For who has found something and needs it later: good if this is still the same."""
        self._memories: list[Remembered[Any, Any]] = []

    def holds(self, memory: Remembered[Any, Any]) -> None:
        """What this memory has is good for one epoch only."""
        self._memories.append(memory)

    def move(self) -> None:
        """Begin the next one. Called on the event loop, between requests."""
        self.number += 1
        for memory in self._memories:
            memory.forget()


def remembering(
    make: Callable[[Key], Value],
    most: int,
    most_bytes: int,
    size_of: Callable[[Key], int],
) -> Callable[[Key], Value]:
    """`make`, which finds what it made before for the same key, but for None, which is made anew.

    `size_of` says how many bytes a key and what is made of it hold, about.
    """
    memory = Remembered[Key, Value](most, most_bytes)

    def find(key: Key) -> Value:
        found = memory.find(key)
        if found is None:
            found = make(key)
            if found is not None:
                memory.keep(key, found, size_of(key))
        return found

    return find
