"""ONNX models written by hand, byte for byte, so that tests need no library that exports them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLOAT, INT64, STRING = 1, 7, 8


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _value(name: str, kind: int, shape: Sequence[int]) -> bytes:
    dims = b"".join(_field(1, _field(1, size) if size else _field(2, b"n")) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, kind) + _field(2, dims)))


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes) -> bytes:
    names = [_field(1, name.encode()) for name in inputs] + [_field(2, name.encode()) for name in outputs]
    return b"".join([*names, _field(4, kind.encode()), *(_field(5, each) for each in attributes)])


def _constant(name: str, values: NDArray[np.float32]) -> bytes:
    dims = b"".join(_field(1, size) for size in values.shape)
    return dims + _field(2, FLOAT) + _field(8, name.encode()) + _field(9, values.astype("<f4").tobytes())


def _model(
    nodes: Sequence[bytes], constants: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]
) -> bytes:
    graph = b"".join(
        [
            *(_field(1, each) for each in nodes),
            _field(2, b"graph"),
            *(_field(5, each) for each in constants),
            *(_field(11, each) for each in inputs),
            *(_field(12, each) for each in outputs),
        ]
    )
    return _field(1, 8) + _field(8, _field(1, b"") + _field(2, 13)) + _field(7, graph)


def linear(weights: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """Scores of a linear model, and the number of the highest as its first output."""
    axis = _field(1, b"axis") + _field(3, 1) + _field(20, 2)
    keep = _field(1, b"keepdims") + _field(3, 0) + _field(20, 2)
    return _model(
        [
            _node("MatMul", ["rows", "weights"], ["product"]),
            _node("Add", ["product", "bias"], ["scores"]),
            _node("ArgMax", ["scores"], ["label"], axis, keep),
        ],
        [_constant("weights", weights), _constant("bias", bias)],
        [_value("rows", FLOAT, (0, weights.shape[0]))],
        [_value("label", INT64, (0,)), _value("scores", FLOAT, (0, weights.shape[1]))],
    )


def sum_of_columns(names: Sequence[str]) -> bytes:
    """The sum of inputs that are a column each."""
    return _model(
        [_node("Sum", names, ["sum"])],
        [],
        [_value(name, FLOAT, (0, 1)) for name in names],
        [_value("sum", FLOAT, (0, 1))],
    )
