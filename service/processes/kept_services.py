"""Who answers for logs, roles and credentials at a server."""

from collections.abc import Mapping

from service.access.key_file import open_key_file
from service.access.sessions import SessionMaker
from service.clock import Clock
from service.control.iam.table import IamOperations
from service.control.logs.table import LogsOperations
from service.control.registry import AnswerOperation
from service.control.sts import StsOperations
from service.processes.logs import open_logs
from service.settings import Settings
from service.store.store import Store


def kept_services(settings: Settings, store: Store, clock: Clock) -> Mapping[str, AnswerOperation]:
    """Their operations, by rows of the table of services."""
    key_file = open_key_file(settings.keys_secret) if settings.auth == "keys" else None
    return {
        "logs": LogsOperations(open_logs(settings)).answer,
        "iam": IamOperations(store, clock).answer,
        "sts": StsOperations(SessionMaker(key_file), clock).answer,
    }
