"""How much memory a loaded model holds, measured without copying it.

The model is pickled with protocol 5 into a sink that only counts. Arrays are handed over as buffers, without
a copy, and count as they are; everything else counts twice, because Python objects take about that much more
than their pickle; single blocks of a megabyte and more count once. Costs a few milliseconds for usual models;
what serialises itself (some libraries' boosters) pays for that once. What a script keeps in its globals is
not seen.
"""

import os
import pickle
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

SMALLEST_BYTES = 64 * 1024
"""No model counts less: the interpreter's own structures around it take about this."""

_BLOCK_BYTES = 1 << 20


class _Sink:
    def __init__(self) -> None:
        self.size_bytes = 0
        self.arrays: list[pickle.PickleBuffer] = []

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.size_bytes += size if size >= _BLOCK_BYTES else 2 * size
        return size

    def add_buffer(self, buffer: pickle.PickleBuffer) -> None:
        self.arrays.append(buffer)
        self.size_bytes += buffer.raw().nbytes


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """Let lambdas, local classes and modules pass, which cannot be pickled and weigh nothing here."""
        local_class = isinstance(obj, type) and "<locals>" in obj.__qualname__
        return (object, ()) if local_class or isinstance(obj, FunctionType | ModuleType) else NotImplemented


def measure(model: object, folder: Path) -> int:
    """Bytes that the model holds; of a model that cannot be pickled, the bytes of the files in its folder."""
    sink = _Sink()
    size_bytes = sink.size_bytes if _weigh(model, sink) else _folder_bytes(folder)
    return max(size_bytes, SMALLEST_BYTES)


def arrays_of(thing: object) -> list[pickle.PickleBuffer]:
    """The memory of the arrays in a thing, where it is; of what cannot be pickled, of a part of them.

    Each array stays where it is for as long as its buffer is held.
    """
    sink = _Sink()
    _weigh(thing, sink)
    return sink.arrays


def _weigh(thing: object, sink: _Sink) -> bool:
    """Whether the whole thing could be pickled."""
    try:
        _Pickler(sink, protocol=5, buffer_callback=sink.add_buffer).dump(thing)
    except BaseException:  # edge: pickling runs the model's own code, and what it may raise is anything
        return False
    return True


def _folder_bytes(folder: Path) -> int:
    return sum(
        os.path.getsize(os.path.join(place, file)) for place, _, files in os.walk(folder) for file in files
    )
