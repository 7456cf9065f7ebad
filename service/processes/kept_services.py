"""Who answers for logs at a server."""

from collections.abc import Mapping

from service.control.logs.table import LogsOperations
from service.control.registry import AnswerOperation
from service.processes.logs import open_logs
from service.settings import Settings


def kept_services(settings: Settings) -> Mapping[str, AnswerOperation]:
    """Their operations, by rows of the table of services."""
    return {"logs": LogsOperations(open_logs(settings)).answer}
