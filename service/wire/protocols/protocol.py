"""The seam between faces and the bytes of AWS's protocols. Which service a request is for: wire/services."""

from collections.abc import Mapping
from typing import Any, Protocol

from service.http.reply import Asked, Reply


class FaultWriter(Protocol):
    """Tells errors to the clients of services that speak one protocol."""

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """The answer to an error, in the words that such a client reads; it never raises."""
        ...


class WireProtocol(FaultWriter, Protocol):
    """One service in its protocol: bytes to the members of an operation, and back."""

    def models(self, operation: str) -> bool:
        """Whether the service has an operation of that name, served here or not."""
        ...

    def read(self, operation: str, asked: Asked) -> Mapping[str, Any]:
        """The members of a request for a modelled operation, checked.

        Raises: SerializationFault; ValidationFault with every violation.
        """
        ...

    def write(self, operation: str, output: Mapping[str, Any], request_id: str) -> Reply:
        """The reply that carries the output of a modelled operation."""
        ...
