"""What cells of a text stand for, looked up by their bytes, many at once and without an object for each."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

_Places = npt.NDArray[np.intp]
_Keys = npt.NDArray[np.uint64]
_Numbers = npt.NDArray[np.float64]

_KEY_BYTES: Final = 8
_KEY_BITS: Final = 64
_MOST_BYTES: Final = 64
_PADDING: Final = b"\0" * (_MOST_BYTES + _KEY_BYTES)
_MASKS: Final = np.array([(1 << 8 * size) - 1 for size in range(_KEY_BYTES + 1)], dtype=np.uint64)
_LEAST_BITS: Final = 6
_MOST_BITS: Final = 16
_TRIES: Final = 8


class Text:
    """Bytes in which eight can be read as one number, wherever they begin."""

    __slots__ = ("_keys", "bytes")

    def __init__(self, body: bytes) -> None:
        padded = body + _PADDING
        self.bytes = np.frombuffer(padded, np.uint8, len(body))
        self._keys = np.ndarray(len(padded) - _KEY_BYTES + 1, "<u8", padded, strides=(1,))

    def keys(self, starts: _Places, sizes: _Places, number: int) -> _Keys:
        """The first eight bytes of each cell, or the next ones by `number`: 0 for what is behind its end."""
        begun = _KEY_BYTES * number
        at = np.minimum(starts + begun, len(self._keys) - 1) if begun else starts
        found: _Keys = self._keys[at] & _MASKS.take(sizes - begun, mode="clip")
        return found


class Spellings:
    """Numbers that the spellings of one column stand for."""

    def __init__(self, known: Mapping[str, float | None], other: float | None = None) -> None:
        """`other` is what all other spellings stand for. None: that is left to who knows more.

        Raises: ValueError where a spelling is too long to be looked up, or holds half a character.
        """
        spelled = [(text.encode(), value) for text, value in known.items() if "\0" not in text]
        self._most_bytes = max((len(text) for text, _ in spelled), default=0)
        if self._most_bytes > _MOST_BYTES:
            raise ValueError(f"a spelling has {self._most_bytes} bytes")
        width = max(1, -(-self._most_bytes // _KEY_BYTES))
        keys = [np.frombuffer(text.ljust(width * _KEY_BYTES, b"\0"), "<u8") for text, _ in spelled]
        self._keys: list[_Keys] = list(np.array(keys, dtype=np.uint64).reshape(-1, width).T.copy())
        self._values = np.array([np.nan if value is None else value for _, value in spelled])
        self._refused = np.array([value is None for _, value in spelled], dtype=np.bool_)
        self._strict = bool(self._refused.any())
        self.known = {text: None if value is None else float(value) for text, value in spelled}
        self.other = other
        self._index = _Index(self._keys) if spelled else None

    def find(self, text: Text, starts: _Places, ends: _Places) -> _Numbers | None:
        """What cells stand for that begin and end there, in a text without zeros; None: that is not known."""
        if self._index is None:
            return None if self.other is None else np.full(len(starts), self.other)
        sizes = ends - starts
        keys = [text.keys(starts, sizes, number) for number in range(len(self._keys))]
        places = self._index.find(keys)
        is_known = sizes <= self._most_bytes
        for own, given in zip(self._keys, keys, strict=True):
            is_known &= own.take(places) == given
        if self._strict and (self._refused.take(places) & is_known).any():
            return None
        values = self._values.take(places)
        if is_known.all():
            return values
        return None if self.other is None else np.where(is_known, values, self.other)


class _Index:
    """Where among some keys each key is if it is there, and any place if it is not.

    Few keys have a table in which no two are in one slot; many are searched.
    """

    def __init__(self, keys: Sequence[_Keys]) -> None:
        count = len(keys[0])
        random = np.random.default_rng(0)
        self._slots: _Places | None = None
        for bits in range(_LEAST_BITS, _MOST_BITS + 1):
            for _ in range(_TRIES if count <= 1 << bits else 0):
                self._draw(random, len(keys))
                self._shift = np.uint64(_KEY_BITS - bits)
                slots = self._mixed(keys) >> self._shift
                if len(np.unique(slots)) == count:
                    self._slots = np.zeros(1 << bits, dtype=np.intp)
                    self._slots[slots] = np.arange(count)
                    return
        self._draw(random, len(keys))
        mixed = self._mixed(keys)
        self._order = np.argsort(mixed)
        self._sorted = mixed[self._order]
        if (self._sorted[1:] == self._sorted[:-1]).any():
            raise ValueError("two spellings cannot be told apart")

    def find(self, keys: Sequence[_Keys]) -> _Places:
        """A place for each key, whose words are in as many arrays."""
        mixed = self._mixed(keys)
        if self._slots is not None:
            return self._slots.take((mixed >> self._shift).astype(np.intp))
        return self._order.take(np.minimum(self._sorted.searchsorted(mixed), len(self._sorted) - 1))

    def _draw(self, random: np.random.Generator, count: int) -> None:
        self._factors = [
            np.uint64(number | 1) for number in random.integers(1 << 62, 1 << 63, count).tolist()
        ]

    def _mixed(self, keys: Sequence[_Keys]) -> _Keys:
        mixed = keys[0] * self._factors[0]
        for key, factor in zip(keys[1:], self._factors[1:], strict=True):
            mixed += key * factor
        return mixed
