"""Unpickles a model file within a limit of memory that is known before it is taken.

What an ordinary pickle holds is bounded by its bytes: an array takes what it takes in the file, and no opcode
makes more than `_BYTES_PER_OPCODE_BYTE`. What calls a function may take anything, so only classes and the
functions by which libraries restore their own objects are called here. Any other call, and a pickle so full
of small objects that the bound is no help, is `Unsure`: to be tried in a process of its own (trial).
"""

import bz2
import gzip
import inspect
import io
import lzma
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
from joblib.compressor import BinaryZlibFile
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
from sklearn.base import BaseEstimator

from service.errors import ModelTooLarge
from service.hosting.artifacts.unpacked import Room

_BYTES_PER_OPCODE_BYTE: Final = 232  # the empty set: one byte, and a place on the stack
_BUFFER_BYTES: Final = 2**20
_LIBRARIES: Final = frozenset({"numpy", "scipy", "sklearn", "pandas", "joblib"})
_RESTORERS: Final = frozenset({"scalar", "newObj"})  # besides names that begin with _
_STANDARD: Final = frozenset(
    {"collections", "datetime", "decimal", "fractions", "functools", "pathlib", "uuid"}
)
FOREIGN: Final = frozenset({"catboost", "keras", "lightgbm", "tensorflow", "torch", "xgboost"})
"""Packages that no gateway imports: they bring threads, memory and crashes of native code."""

_BUILTINS: Final = frozenset({"object", "set", "frozenset", "complex", "slice"})
_NATIVE: Final = (
    {"ensure_native_byte_order": True}
    if "ensure_native_byte_order" in inspect.signature(NumpyUnpickler.__init__).parameters
    else {}
)


class Unsure(Exception):
    """Nobody knows how much memory this file takes before it is loaded."""


class NeedsOwnCode(Exception):
    """The file holds objects of the model's own modules, or of foreign ones, which are not run here."""


def load_within(file: Path, room: Room) -> Any:
    """Unpickle a file that takes at most what its room has, which is limited, also while it is loaded.

    Raises: ModelTooLarge, Unsure, NeedsOwnCode, and what unpickling raises.
    """
    with file.open("rb") as packed:
        stream = unpacked(packed)
        # A gauge at each read costs some time, which small files that are not compressed are spared.
        if stream is packed and file.stat().st_size * _BYTES_PER_OPCODE_BYTE <= room.most_bytes:
            return _Unpickler(str(file), packed, room).load()
        gauge = _Gauge(stream, room, file.name)
        return _Unpickler(str(file), cast(IO[bytes], gauge), room, gauge).load()


def unpacked(packed: IO[bytes]) -> IO[bytes]:
    """The file as pickle reads it. Raises Unsure. Source of the marks: joblib, compressor.py."""
    begin = packed.read(6)
    packed.seek(0)
    if begin.startswith((b"ZF", b"\x04\x22\x4d\x18")):  # a very old joblib; lz4
        raise Unsure
    if begin.startswith(b"x"):
        return cast(IO[bytes], io.BufferedReader(BinaryZlibFile(packed, "rb"), _BUFFER_BYTES))
    if begin.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=packed))
    if begin.startswith(b"BZ"):
        return bz2.BZ2File(packed)
    return lzma.LZMAFile(packed) if begin.startswith((b"\xfd7zXZ", b"]\x00")) else packed


class _Gauge:
    """A stream that counts what is read of it: arrays, and opcodes, which may make more of themselves."""

    def __init__(self, stream: IO[bytes], room: Room, name: str) -> None:
        self._stream = stream
        self._most_bytes = room.most_bytes
        self._sharers = room.sharers
        self._name = name
        self._arrays = 0
        self._opcodes = 0
        self.in_array = False

    def read(self, size: int = -1, /) -> bytes:
        return self._count(self._stream.read(size))

    def readline(self, size: int = -1, /) -> bytes:
        return self._count(self._stream.readline(size))

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(memoryview(buffer).nbytes)
        buffer[: len(data)] = data
        return len(data)

    def _count(self, data: bytes) -> bytes:
        if self.in_array:
            self._arrays += len(data)
        else:
            self._opcodes += len(data)
        arrays = self._arrays // self._sharers
        if arrays + self._opcodes > self._most_bytes:
            raise too_large(self._name, self._most_bytes)
        if arrays + self._opcodes * _BYTES_PER_OPCODE_BYTE > self._most_bytes:
            raise Unsure
        return data


class _Unpickler(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    dispatch: dict[int, Callable[..., None]] = NumpyUnpickler.dispatch.copy()

    def __init__(self, filename: str, stream: IO[bytes], room: Room, gauge: _Gauge | None = None) -> None:
        super().__init__(filename, stream, **_NATIVE)
        self._stream = stream
        self._room = room
        self._gauge = gauge

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, unless it is the model's own or foreign."""
        package = module.partition(".")[0]
        if package in self._room.own_modules or package in FOREIGN:
            raise NeedsOwnCode
        return super().find_class(module, name)

    def load_reduce(self) -> None:
        _check_call(self.stack[-2])
        super().load_reduce()

    def load_newobj(self) -> None:
        _check_class(self.stack[-2])
        super().load_newobj()

    def load_newobj_ex(self) -> None:
        _check_class(self.stack[-3])
        super().load_newobj_ex()

    def _instantiate(self, klass: Any, arguments: Any) -> None:
        _check_call(klass)
        super()._instantiate(klass, arguments)

    def load_build(self) -> None:
        """As joblib does it; arrays of objects are pickles within the pickle, to be looked at alike."""
        wrapper = self.stack[-2]
        if type(wrapper) is not NumpyArrayWrapper:
            super().load_build()
            self._tell_built(BaseEstimator)
            return
        pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]  # the one in Python, as joblib's is
        self.stack[-1] = self._read_array(wrapper)
        self._tell_built(np.ndarray)  # what an estimator copies of it stays here until the end as well

    def _tell_built(self, kind: type) -> None:
        if self._room.built is not None and isinstance(self.stack[-1], kind):
            self._room.built(self.stack[-1])

    def _read_array(self, wrapper: Any) -> Any:
        if wrapper.dtype.hasobject:
            if wrapper.subclass is not np.ndarray:
                raise Unsure
            return _Unpickler(self.filename, self._stream, self._room, self._gauge).load()
        if self._gauge is None:
            return wrapper.read(self, **_NATIVE)
        self._gauge.in_array = True
        try:
            return wrapper.read(self, **_NATIVE)
        finally:
            self._gauge.in_array = False

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build


def _check_call(called: Any) -> None:
    """Let pass what takes no more memory than it is given: classes, and restorers of the usual libraries."""
    package, name = _name_of(called)
    if package == "numpy" and isinstance(called, type):
        sure = name in ("dtype", "ndarray")
    elif isinstance(called, type):
        _check_class(called)
        sure = package != "pandas"
    elif package in _LIBRARIES:
        sure = name.startswith("_") or name in _RESTORERS
    else:
        sure = package == "copyreg" or (package, name) == ("_codecs", "encode")  # of bytes, in old pickles
    if not sure:
        raise Unsure


def _check_class(made: Any) -> None:
    """Let pass classes whose objects begin with nothing but what they are given."""
    package, name = _name_of(made)
    if not isinstance(made, type):
        sure = False
    elif package == "builtins":
        sure = name in _BUILTINS
    else:
        own = package not in sys.stdlib_module_names or package in _STANDARD
        sure = own and not issubclass(made, bytes | bytearray)
    if not sure:
        raise Unsure


def _name_of(thing: Any) -> tuple[str, str]:
    return str(getattr(thing, "__module__", "")).partition(".")[0], str(getattr(thing, "__qualname__", ""))


def too_large(name: str, most_bytes: int) -> ModelTooLarge:
    """The fault of a file that needs more than it may have."""
    return ModelTooLarge(
        f"{name} needs more than {most_bytes / 2**20:,.0f} MiB, which is what the models of one process may "
        "hold: raise SAGEBIRD_MODEL_MEMORY (it is shared out among the gateways) or lower SAGEBIRD_GATEWAYS."
    )
