"""The services beside SageMaker at a server: who answers for them, and who looks after alarms."""

from collections.abc import Callable, Mapping

from service.clock import Clock
from service.control.cloudwatch.context import CloudWatchContext
from service.control.cloudwatch.evaluation import AlarmClock
from service.control.cloudwatch.table import CloudWatchOperations
from service.control.ecr.repositories import EcrContext, EcrOperations
from service.control.endpoints import endpoint_of
from service.control.kept.operations import KeptOperations
from service.control.registry import AnswerOperation
from service.domain.caller import Caller
from service.domain.kinds import Kind
from service.observe.series import VariantSeries
from service.observe.utilization import UtilizationSeries
from service.processes.kept_services import kept_services
from service.settings import Settings
from service.store.neighbours import NeighbourStore
from service.store.store import Store
from service.wire.spec import Service

_DAY_S = 86_400.0


def neighbours(
    settings: Settings, store: Store, clock: Clock, caller: Caller, sagemaker: Service
) -> Mapping[str, AnswerOperation]:
    """Who answers the operations of each, by its row of the table of services; `sagemaker` is its model."""
    context = _context(settings, store, clock, caller)
    repositories = EcrOperations(EcrContext(context.kept, clock, caller))
    own: dict[str, AnswerOperation] = {
        "monitoring": CloudWatchOperations(context).answer,
        "ecr": repositories.answer,
    }
    if settings.kept == "on":
        own["sagemaker"] = KeptOperations(sagemaker, context.kept, clock).answer
    return {**own, **kept_services(settings, store, clock)}


def alarm_look(settings: Settings, store: Store, clock: Clock, caller: Caller) -> Callable[[], None]:
    """What brings alarms into their states, in one process of a family."""
    return AlarmClock(_context(settings, store, clock, caller)).begin


def variant_series(settings: Settings) -> VariantSeries:
    """What happened to each variant, for who reads it."""
    return VariantSeries(settings.data / "series.db", settings.data / "metrics")


def _context(settings: Settings, store: Store, clock: Clock, caller: Caller) -> CloudWatchContext:
    return CloudWatchContext(
        NeighbourStore(settings.data / "neighbours.db"),
        variant_series(settings),
        UtilizationSeries(settings.data / "series.db"),
        clock,
        caller,
        lambda endpoint, variant: _instances(store, endpoint, variant),
        settings.series_keep_days * _DAY_S,
    )


def _instances(store: Store, endpoint: str, variant: str) -> int:
    """How many instances a variant has now; one where it is gone."""
    resource = store.get(Kind.ENDPOINT, endpoint)
    fleet = None if resource is None else endpoint_of(resource).active
    known = {} if fleet is None else {each.name: each.instances for each in fleet.variants}
    return known.get(variant, 1)
