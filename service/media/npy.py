"""npy bodies to rows: arrays of numbers and of texts; what numpy would unpickle is refused."""

import ast
import math
import re
import sys
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from service.errors import BadPayload
from service.media.tables import Table, quoted

_NPY_LENGTHS: Final = MappingProxyType({b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4})
_NPY_NUMBER: Final = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
_NPY_TEXT: Final = re.compile(r"[<>=]?U[1-9][0-9]{0,6}")
_NPY_BYTES: Final = re.compile(r"\|?S[1-9][0-9]{0,6}")
_MAX_NPY_HEADER_BYTES: Final = 10_000


def read_npy(body: bytes) -> npt.NDArray[np.float64] | Table:
    """An array of numbers as rows (n, features) float64, one of texts as a table. Raises: BadPayload."""
    start, shape, fortran_order, descr = _npy_header(body)
    is_text, is_utf8 = _NPY_TEXT.fullmatch(descr) is not None, _NPY_BYTES.fullmatch(descr) is not None
    if not is_text and not is_utf8 and not _NPY_NUMBER.fullmatch(descr):
        raise BadPayload(
            f"The npy array holds {quoted(descr)}; send integers or floats of up to 64 bits, or texts."
        )
    if len(shape) not in (1, 2):
        raise BadPayload(f"The npy array has {len(shape)} dimensions; send rows and columns.")
    if min(shape) < 1:
        raise BadPayload("The npy array holds no rows or no columns.")
    dtype, follows = np.dtype(descr), len(body) - start
    if math.prod(shape) * dtype.itemsize != follows:
        raise BadPayload(f"The npy header announces another size than the {follows} bytes that follow it.")
    values = np.frombuffer(body, dtype, offset=start).reshape(shape, order="F" if fortran_order else "C")
    if is_utf8:
        return _decoded(values)
    if is_text:
        return _texts(values)
    if values.dtype.kind == "b":
        values = values.view(np.uint8) != 0  # a byte may hold more than numpy would write
    with np.errstate(invalid="ignore"):  # a signalling nan is a nan
        return np.array(np.atleast_2d(values), dtype=np.float64, order="C")


def _texts(values: npt.NDArray[np.str_]) -> Table:
    points = np.frombuffer(values.tobytes(), np.dtype(np.uint32).newbyteorder(values.dtype.byteorder))
    if (points > sys.maxunicode).any() or ((points >= 0xD800) & (points < 0xE000)).any():
        raise BadPayload("The npy array holds text that is not Unicode.")
    return Table(values.tolist(), flat=values.ndim == 1, spelled=True)


def _decoded(values: npt.NDArray[np.bytes_]) -> Table:
    try:
        texts = np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        raise BadPayload("The npy array holds bytes that are not UTF-8 text.") from error
    return Table(texts.tolist(), flat=values.ndim == 1, spelled=True)


def _npy_header(body: bytes) -> tuple[int, tuple[int, ...], bool, str]:
    """Where the values start, shape, Fortran order and type.

    numpy's own reader warns, guesses at old headers and fails in many ways; version 3 exists for structured
    arrays only. Source: numpy.lib.format.
    """
    length_bytes = _NPY_LENGTHS.get(body[:8])
    if length_bytes is None:
        raise BadPayload("The body is not an npy array of version 1.0 or 2.0.")
    start = 8 + length_bytes
    end = start + int.from_bytes(body[8:start], "little")
    try:
        fields = ast.literal_eval(
            body[start : min(end, start + _MAX_NPY_HEADER_BYTES)].decode("ascii").strip()
        )
        shape, fortran_order, descr = fields["shape"], fields["fortran_order"], fields["descr"]
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
        raise BadPayload("The header of the npy array cannot be read.") from error
    if not isinstance(shape, tuple) or any(type(side) is not int for side in shape) or end > len(body):
        raise BadPayload("The header of the npy array cannot be read.")
    return end, shape, bool(fortran_order), str(descr)
