"""The AWS JSON protocol: `POST /`, the operation named by X-Amz-Target, every member in a JSON body.

Each operation is compiled once into a reader of requests and a writer of replies. No routing in here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import UnknownOperation
from service.http.reply import Asked, Reply
from service.wire import constraints, shapes
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
from service.wire.shapes import Reader, ReaderTable, Writer, WriterTable, render_json
from service.wire.spec import Operation, Service, Shape

_JSON_1_0 = b"application/x-amz-json-1.0"


@dataclass(frozen=True, slots=True)
class JsonRpc:
    """One operation of a JSON service; made by `compile_operation`."""

    _read: Reader
    _check: Checker
    _write: Writer | None
    _status: int
    _content_type: bytes

    def read(self, body: bytes) -> dict[str, Any]:
        """The request's members; null ones are absent, unknown ones are left out.

        Raises:
            SerializationFault: the body is not JSON, or a member is of the wrong type.
            ValidationFault: every violation of the model's constraints, in one sentence (contract C.7).
        """
        values: dict[str, Any] = shapes.read_body(self._read, body)
        constraints.check(self._check, values)
        return values

    def write(self, output: Mapping[str, Any]) -> Reply:
        """The reply that carries `output`; an operation without output has an empty body (contract 0.1)."""
        body = b"" if self._write is None else shapes.write_body(self._write, output)
        return Reply(self._status, [(b"Content-Type", self._content_type)], body)


class Tables:
    """What is compiled already, by shape: the operations of a service share most of their shapes."""

    def __init__(self) -> None:
        self.readers: ReaderTable = {}
        self.writers: WriterTable = {}
        self.checkers: dict[Shape, Checker] = {}


def compile_operation(operation: Operation, tables: Tables, content_type: bytes) -> JsonRpc:
    """The reader and writer of one operation; `tables` are those of its service."""
    taken, given = operation.input, operation.output
    return JsonRpc(
        _read=_read_nothing if taken is None else shapes.compile_reader(taken, tables.readers),
        _check=_accept if taken is None else constraints.compile_checker(taken, tables.checkers),
        _write=None if given is None else shapes.compile_writer(given, tables.writers),
        _status=operation.status,
        _content_type=content_type,
    )


def _read_nothing(value: Any, path: str) -> dict[str, Any]:
    return {}


def _accept(value: Any, path: str) -> list[str]:
    return []


class JsonProtocol:
    """A JSON service whose operations are compiled when they are first asked for, and kept.

    One per process family: loaded before the family forks, its 11 MB are shared by all.
    """

    def __init__(self, spec: Service) -> None:
        self.spec = spec
        self.content_type = f"application/x-amz-json-{spec.json_version}".encode("ascii")
        self._tables = Tables()
        self._compiled: dict[str, JsonRpc] = {}

    def models(self, operation: str) -> bool:
        """Whether the service's model has an operation of that name."""
        return operation in self.spec.operations

    def read(self, operation: str, asked: Asked) -> Mapping[str, Any]:
        """The members of a request. Raises as `JsonRpc.read` does."""
        return self._operation(operation).read(asked.body)

    def write(self, operation: str, output: Mapping[str, Any], request_id: str) -> Reply:
        """The reply that carries an output."""
        del request_id  # it is told in a header alone
        return self._operation(operation).write(output)

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """Clients read the code from the body's `__type`, the message in either spelling (contract 0.3).

        Services that are not served may share the path and speak the older version: it is answered in kind.
        """
        known = known_error(error, asked.request_id)
        code = error_code(known, self.spec)
        declared = self.spec.error_shapes.get(code)
        members = fault_members(known, declared, asked.request_id)
        name = type_name(code, declared) if self.spec.query_compatible else code
        body = {"__type": name, "message": members["Message"], **members}
        sent = dict(asked.headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
        headers = [
            request_header(asked.request_id),
            (b"x-amzn-ErrorType", code.encode("ascii")),
            (b"Content-Type", _JSON_1_0 if sent == _JSON_1_0 else self.content_type),
        ]
        status = fault_status(known, code, declared)
        if self.spec.query_compatible:
            headers.append(query_error(code, status))
        return Reply(status, headers, render_json(body))

    def _operation(self, name: str) -> JsonRpc:
        operation = self.operation(name)
        if operation is None:
            raise UnknownOperation(f"{self.spec.name} has no operation {name}.")
        return operation

    def operation(self, name: str) -> JsonRpc | None:
        """The operation of that name; None if the model has none."""
        known = self._compiled.get(name)
        if known is None and name in self.spec.operations:
            operation = self.spec.operations[name]
            known = compile_operation(operation, self._tables, self.content_type)
            self._compiled[name] = known
        return known

    def prepare(self, names: Iterable[str]) -> None:
        """Compile operations ahead of their first call; unmodelled names are skipped."""
        for name in names:
            self.operation(name)
