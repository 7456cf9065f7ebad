"""The protocols of the services at `POST /`: each is loaded, with its model, when it is asked for first."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from service.wire import services
from service.wire.protocols.cbor import CborFaults, CborProtocol
from service.wire.protocols.json import JsonProtocol
from service.wire.protocols.protocol import FaultWriter, WireProtocol
from service.wire.protocols.query import QueryFaults, QueryProtocol
from service.wire.services import ServiceCall, is_of_its_version
from service.wire.spec import Service, load_service

# By rows of the table of services: what botocore calls the model of each, beside SageMaker's own.
_MODELS: Final = MappingProxyType(
    {"ecr": "ecr", "iam": "iam", "logs": "logs", "monitoring": "cloudwatch", "sts": "sts"}
)

_MAKERS: Final = MappingProxyType[str, Callable[[Service], WireProtocol]](
    {services.JSON: JsonProtocol, services.QUERY: QueryProtocol, services.CBOR: CborProtocol}
)


class Protocols:
    """Those of one process; SageMaker's, whose model is large, is handed in."""

    def __init__(self, sagemaker: JsonProtocol, models: Mapping[str, str] = _MODELS) -> None:
        """`models` are the names of botocore's models by rows of the table of services."""
        self.sagemaker = sagemaker
        self._models = models
        self._known: dict[tuple[str, str], WireProtocol] = {("sagemaker", services.JSON): sagemaker}

    async def find(self, call: ServiceCall) -> WireProtocol | None:
        """The protocol of a call's service; None where that is not served, or not in this protocol."""
        if not is_of_its_version(call):
            return None
        place = (call.row, call.protocol)
        if place not in self._known and call.row in self._models:
            self._known[place] = await asyncio.to_thread(self._load, call)
        return self._known.get(place)

    def fault_writer(self, call: ServiceCall | None, *, takes_form: bool) -> FaultWriter:
        """Who tells the errors of a call; `takes_form` says of one that is not known what it would be."""
        if call is not None and (call.row, call.protocol) in self._known:
            return self._known[call.row, call.protocol]
        if call is not None and call.protocol == services.CBOR:
            return CborFaults()
        # The other services that share POST / speak the protocol of SageMaker, or take forms.
        return QueryFaults() if takes_form else self.sagemaker

    def _load(self, call: ServiceCall) -> WireProtocol:
        return _MAKERS[call.protocol](load_service(self._models[call.row]))
