"""Files that XGBoost wrote, read without it: its documents, and pickles of its estimators.

No code is run, and no more memory is taken than the bytes that are there let expect.
"""

import io
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from service.errors import NotCompilable
from service.hosting.programs.xgboost_trees import Booster, read_booster
from service.hosting.runtimes.number_json import NotJson, read_number_json
from service.hosting.runtimes.ubjson import NotUbjson, read_ubjson

_ESTIMATORS: Final = frozenset(
    {"XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor"}
)
_FIRST_BYTES: Final = 256
_MOST_OPCODES: Final = 10_000  # an estimator has some hundred, and makes no more of its columns


def is_estimator(file: Path) -> bool:
    """Whether a pickle begins with an estimator of XGBoost."""
    with file.open("rb") as opened:
        begin = opened.read(_FIRST_BYTES)
    return begin.startswith(b"\x80") and b"xgboost.sklearn" in begin


def read_model(file: Path, most_file_bytes: int, most_bytes: int) -> tuple[Booster, str]:
    """What a file holds, in at most `most_bytes`, and the estimator around it, "" for none.

    Raises NotCompilable, OSError.
    """
    with file.open("rb") as opened:
        data = opened.read(most_file_bytes + 1)
    if len(data) > most_file_bytes:
        raise NotCompilable("its file has grown")
    handle, estimator = _in_pickle(data) if data.startswith(b"\x80") else (data, "")
    return read_booster(_document(handle), most_bytes), estimator


def _document(data: bytes) -> Any:
    """What `save_model` wrote, as JSON or as UBJSON: both begin as objects do."""
    try:
        return read_number_json(data) if data[1:2] in (b'"', b"\n", b" ") else read_ubjson(data)
    except (NotUbjson, NotJson) as error:
        raise NotCompilable(f"its file is neither JSON nor UBJSON: {error}") from error


class _Held:
    """In place of an object: its state, if that is a mapping. It does nothing."""

    state: Mapping[str, Any] = MappingProxyType({})

    def __new__(cls, *_given: Any) -> "_Held":
        """However it is made."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            self.state = state


class _Estimator(_Held):
    name = ""


def _whole(data: Any) -> bytes:
    """In place of `bytearray`, which older pickles call with bytes, and which makes any number of them."""
    if type(data) is not bytes:
        raise NotCompilable("its bytes are not whole")
    return data


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins; nothing that does anything."""
        if module == "xgboost.sklearn" and name in _ESTIMATORS:
            return type(name, (_Estimator,), {"name": name})
        if (module, name) == ("xgboost.core", "Booster") or module.partition(".")[0] == "numpy":
            return _Held
        if (module, name) == ("builtins", "bytearray"):
            return _whole
        raise NotCompilable(f"it holds a {name} of {module}")


def _in_pickle(data: bytes) -> tuple[bytes, str]:
    """The document in a pickle, and the estimator's class, "" for a booster alone."""
    try:
        _check_opcodes(data)
        found = _Reader(io.BytesIO(data)).load()
    except NotCompilable:
        raise
    except Exception as error:  # edge: bytes of anybody
        raise NotCompilable(f"its pickle cannot be read: {type(error).__name__}") from error
    estimator = found.name if isinstance(found, _Estimator) else ""
    held = found.state.get("_Booster") if estimator else found
    handle = held.state.get("handle") if isinstance(held, _Held) else None
    if not isinstance(handle, bytes | bytearray):
        raise NotCompilable("it holds no Booster")
    if estimator and not _is_nan(found.state.get("missing")):
        raise NotCompilable("its gaps are not nan")
    return bytes(handle), estimator


def _check_opcodes(data: bytes) -> None:
    """See that there are few, that they take nothing that is not there, and remember nothing far away."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        far = "PUT" in opcode.name and int(argument or 0) > _MOST_OPCODES
        if far or count > _MOST_OPCODES:
            raise NotCompilable("its pickle is not as XGBoost's are")


def _is_nan(missing: Any) -> bool:
    return isinstance(missing, float) and missing != missing
