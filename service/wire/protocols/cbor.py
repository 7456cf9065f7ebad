"""Smithy's RPC over CBOR: the operation is in the path, every member in a CBOR body."""

import re
from collections.abc import Mapping
from typing import Any, Final

from service.errors import SerializationFault, UnknownOperation
from service.http.asgi import Headers
from service.http.reply import Asked, Reply
from service.wire import cbor_items, constraints, shapes
from service.wire.constraints import Checker
from service.wire.faults import (
    error_code,
    fault_members,
    fault_status,
    known_error,
    query_error,
    request_header,
    type_name,
)
from service.wire.shapes import ReaderTable, write_timestamp
from service.wire.spec import Operation, Service, Shape

_PATH: Final = re.compile(r"/service/([A-Za-z0-9_.]{1,128})/operation/([A-Za-z0-9_]{1,128})", re.ASCII)
_PROTOCOL: Final = (b"smithy-protocol", b"rpc-v2-cbor")
_TYPE: Final = (b"Content-Type", b"application/cbor")


def read_path(path: str) -> tuple[str, str] | None:
    """The service and the operation that a path names; None if it is none of this protocol."""
    found = _PATH.fullmatch(path)
    return None if found is None else (found[1].rpartition(".")[2], found[2])


class CborFaults:
    """For every service whose clients say `smithy-protocol: rpc-v2-cbor`."""

    def __init__(self, spec: Service | None = None) -> None:
        self._spec = spec

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """A map of `__type`, `message` and what else there is. Source: botocore's parser."""
        known = known_error(error, asked.request_id)
        code, declared = known.code, None
        if self._spec is not None:
            code = error_code(known, self._spec)
            declared = self._spec.error_shapes.get(code)
        told = fault_members(known, declared, asked.request_id)
        members = {"__type": type_name(code, declared), "message": told["Message"], **told}
        status = fault_status(known, code, declared)
        headers: Headers = [_TYPE, _PROTOCOL, request_header(asked.request_id)]
        if self._spec is not None and self._spec.query_compatible:
            headers.append(query_error(code, status))
        return Reply(status, headers, cbor_items.write_map({key: _told(one) for key, one in members.items()}))


class CborProtocol(CborFaults):
    """One service that speaks it."""

    def __init__(self, spec: Service) -> None:
        super().__init__(spec)
        self.spec = spec
        self._readers: ReaderTable = {}
        self._checkers: dict[Shape, Checker] = {}

    def models(self, operation: str) -> bool:
        """Whether the service's model has an operation of that name."""
        return operation in self.spec.operations

    def read(self, operation: str, asked: Asked) -> Mapping[str, Any]:
        """The members of a request. Raises: SerializationFault; ValidationFault with every violation."""
        shape = self._operation(operation).input
        if shape is None:
            return {}
        try:
            found = cbor_items.read_item(asked.body) if asked.body else {}
        except ValueError as error:
            raise SerializationFault(f"The request body is not valid CBOR: {error}.") from error
        values: dict[str, Any] = shapes.compile_reader(shape, self._readers)(found, "")
        constraints.check(constraints.compile_checker(shape, self._checkers), values)
        return values

    def write(self, operation: str, output: Mapping[str, Any], request_id: str) -> Reply:
        """The reply that carries an output; an operation without one has an empty body."""
        del request_id  # it is told in a header alone
        model = self._operation(operation)
        if model.output is None:
            return Reply(model.status, [_PROTOCOL], b"")
        return Reply(model.status, [_TYPE, _PROTOCOL], _written(model.output, output))

    def _operation(self, name: str) -> Operation:
        found = self.spec.operations.get(name)
        if found is None:
            raise UnknownOperation(f"{self.spec.name} has no operation {name}.")
        return found


def _told(value: object) -> bytes:
    return cbor_items.write_integer(value) if isinstance(value, int) else cbor_items.write_text(str(value))


def _written(shape: Shape, value: Any) -> bytes:
    match shape.kind:
        case "structure":
            members = ((member, value.get(member.name)) for member in shape.members.values())
            return cbor_items.write_map(
                {member.wire_name: _written(member.shape, one) for member, one in members if one is not None}
            )
        case "list":
            return cbor_items.write_list([_written(shape.item.shape, one) for one in value])
        case "map":
            return cbor_items.write_map({key: _written(shape.value.shape, one) for key, one in value.items()})
        case "timestamp":
            return cbor_items.write_time(float(write_timestamp(value, "unixTimestamp")))
        case "boolean":
            return cbor_items.write_boolean(value)
        case "float" | "double":
            return cbor_items.write_float(value)
        case "byte" | "short" | "integer" | "long":
            return cbor_items.write_integer(value)
        case "blob":
            return cbor_items.write_bytes(value)
        case _:
            return cbor_items.write_text(value)
