"""What the processes of a server share of the control plane, and its face for each of them."""

from dataclasses import dataclass

from service.arn import Arns
from service.clock import SystemClock
from service.control.registry import Operations
from service.control.resources import Context
from service.faces.aws.control import ControlFace
from service.hosting.artifacts.artifact import open_artifacts
from service.processes.desk import Desk
from service.settings import Settings
from service.store.store import Store
from service.wire.json_rpc import JsonRpcService

# The largest member of any operation's model is a pipeline's definition of 1 MiB.
_MAX_BODY_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The protocol, compiled once, and the desk of large requests."""

    sagemaker: JsonRpcService
    desk: Desk

    def face(self, settings: Settings, store: Store, *, hands_in: bool) -> ControlFace:
        """Its face, for who answers all requests itself or hands large ones in."""
        context = context_of(settings)
        elsewhere = self.desk if hands_in else None
        call = Operations(store, context).call
        return ControlFace(self.sagemaker, call, context.arns, _MAX_BODY_BYTES, elsewhere)


def context_of(settings: Settings) -> Context:
    """What operations need beside the store."""
    arns = Arns(settings.account, settings.region)
    return Context(arns, SystemClock(), open_artifacts(settings).version_of)
