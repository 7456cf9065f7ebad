"""What the processes of a server share of the control plane, and its face for each of them."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import time

from service.clock import SystemClock
from service.control.registry import SERVED, Operations
from service.control.resources import OperationContext, Resources
from service.control.traffic_plans import TrafficPlans
from service.control.transform_jobs import create_drop_job
from service.domain.caller import Caller
from service.domain.image import pinned_image
from service.domain.transform.job import Drop
from service.faces.aws.control import ControlFace
from service.hosting.artifacts.artifact import changed_s, open_artifacts
from service.hosting.engines.engine import image_there
from service.hosting.memory import importing
from service.http.asgi import App
from service.invoke.directory import Directory
from service.invoke.recording import Recorder
from service.processes.buckets import s3_face
from service.processes.desk import Desk
from service.processes.neighbours import alarm_look, neighbours, variant_series
from service.processes.outcome_clerk import OutcomeClerk, takes_long
from service.processes.outcome_post import OutcomePost
from service.settings import Settings
from service.store.outcomes import OutcomeStore
from service.store.store import Store
from service.wire.protocols.json import JsonProtocol
from service.wire.spec import load_service

# The largest member of any operation's model is a pipeline's definition of 1 MiB.
_MAX_BODY_BYTES = 2 << 20
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The protocol, compiled once, and the desk of large requests."""

    sagemaker: JsonProtocol
    desk: Desk
    outcomes: Desk

    def face(self, settings: Settings, store: Store, *, hands_in: bool) -> ControlFace:
        """Its face, for who answers all requests itself or hands large ones in."""
        context = context_of(settings)
        elsewhere = self.desk if hands_in else None
        model = self.sagemaker.spec
        others = neighbours(settings, store, context.clock, context.caller, model)
        call = Operations(store, context, others).call
        return ControlFace(self.sagemaker, call, _MAX_BODY_BYTES, elsewhere)

    @staticmethod
    def s3_face(settings: Settings) -> App | None:
        """The face of buckets, for one process; None where they are not served."""
        return s3_face(settings, context_of(settings).caller)

    def open_desk(self, settings: Settings, store: Store) -> "OpenDesks":
        """Begin to answer here what other processes hand in, until the desks are closed."""
        face = self.face(settings, store, hands_in=False)
        context = context_of(settings)
        self.desk.open(lambda caller, asked: asyncio.run(face.answer(caller, asked)))
        opens = partial(
            OutcomeStore, settings.outcome_file, settings.outcome_days * _DAY_S, settings.outcome_rows
        )
        clerk = OutcomeClerk(opens, store, context, variant_series(settings))
        self.outcomes.open(clerk.answer, takes_long)
        plans = TrafficPlans(store, context, clerk)
        alarms = alarm_look(settings, store, context.clock, context.caller)
        return OpenDesks((self.desk, self.outcomes), clerk, (clerk.look, plans.look, alarms))

    def post(self, settings: Settings, directory: Callable[[], Directory]) -> OutcomePost:
        """What hands in a gateway's predictions and outcomes."""
        recorder = Recorder(directory, time, settings.outcomes)
        return OutcomePost(self.outcomes, recorder, context_of(settings).caller)


@dataclass(frozen=True, slots=True)
class OpenDesks:
    """What the keeper answers at, and what it does in its rounds: for outcomes, ramps and alarms."""

    desks: tuple[Desk, ...]
    clerk: OutcomeClerk
    looks: tuple[Callable[[], object], ...]

    def close(self) -> None:
        """Finish what was handed in, and take no more."""
        for desk in self.desks:
            desk.close()
        self.clerk.close()


def load_control_plane() -> ControlPlane:
    """The control plane of a family that is not forked yet.

    Made before anything else that all processes share is set apart: the model is 11 MB.
    """
    with importing():
        sagemaker = JsonProtocol(load_service("sagemaker"))
        sagemaker.prepare(SERVED)
        return ControlPlane(sagemaker, Desk(), Desk())


def drop_orders(store: Store, context: OperationContext) -> Callable[[Drop], None]:
    """Who makes the job of a dropped file."""

    def order(drop: Drop) -> None:
        with store.change() as change:
            create_drop_job(Resources(change, context), drop)

    return order


def context_of(settings: Settings) -> OperationContext:
    """What operations need beside the store; they run as the server's own, which is every caller so far."""
    caller = Caller(settings.account, settings.region)
    version_of = open_artifacts(settings).version_of
    runs_images = settings.images != "off"
    return OperationContext(
        caller,
        SystemClock(),
        version_of,
        settings.reload,
        changed_s,
        runs_images,
        _image_now if runs_images else str,
    )


def _image_now(image: str) -> str:
    return pinned_image(image, image_there(os.environ, image))
