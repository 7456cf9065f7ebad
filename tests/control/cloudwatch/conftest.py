"""CloudWatch over a data folder's own files, with a clock that tests move."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.clock import ManualClock
from service.control.cloudwatch.context import CloudWatchContext
from service.control.cloudwatch.evaluation import AlarmClock
from service.control.cloudwatch.table import CloudWatchOperations
from service.domain.caller import Caller
from service.observe.counts import Registry
from service.observe.series import SeriesKeeping, VariantSeries
from service.observe.utilization import UtilizationKeeping, UtilizationSeries
from service.store.neighbours import NeighbourStore

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
NOON_S = int(NOON.timestamp())
DAY_S = 86_400.0
CALLER = Caller("123456789012", "eu-west-1")


class Watch:
    """One data folder, its gateways' counts, and the operations over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(NOON)
        self.instances = {("e", "v"): 2}
        self.start()

    def start(self) -> None:
        """As processes do that come after others; what is in the folder stays."""
        metrics, file = self.folder / "metrics", self.folder / "series.db"
        self.registry = Registry(metrics, "g0")
        self.keeping = SeriesKeeping(file, metrics, 455 * DAY_S, self.clock.now)
        self.using = UtilizationKeeping(file, 455 * DAY_S)
        self.kept = NeighbourStore(self.folder / "neighbours.db")
        self.context = CloudWatchContext(
            self.kept,
            VariantSeries(file, metrics),
            UtilizationSeries(file),
            self.clock,
            CALLER,
            lambda endpoint, variant: self.instances.get((endpoint, variant), 1),
            455 * DAY_S,
        )
        self.operations = CloudWatchOperations(self.context)
        self.alarms = AlarmClock(self.context)

    def call(self, operation: str, **fields: Any) -> Any:
        """An operation's output."""
        return self.operations.answer(CALLER, operation, fields)

    def invoke(
        self, requests: int, *, failed: int = 0, seconds: float = 0.01, model_s: float = 0.004
    ) -> None:
        """Have an endpoint's variant answer, and fail."""
        counter = self.registry.invocation("e", "v")
        if requests:
            counter.count(seconds, model_s, requests)
        for _ in range(failed):
            counter.count_error(seconds, "ModelError", 5, model_s)
        self.registry.flush()

    def pass_minutes(self, minutes: int) -> None:
        """Let time go by, as the keeper sees it."""
        for _ in range(minutes):
            self.clock.advance(60)
            self.keeping.look()
            self.alarms.look()

    def state(self, name: str = "errors") -> str:
        """An alarm's state, after a look at it."""
        self.clock.advance(1.5)
        self.alarms.look()
        (found,) = self.call("DescribeAlarms", AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    def statistics(
        self, name: str, *statistics: str, period_s: int = 60, **more: Any
    ) -> list[Mapping[str, Any]]:
        """The datapoints of the last hour, and of this minute."""
        found: list[Mapping[str, Any]] = self.call(
            "GetMetricStatistics",
            **{
                "Namespace": "AWS/SageMaker",
                "MetricName": name,
                "Dimensions": OF_VARIANT,
                "StartTime": datetime.fromtimestamp(self.context.now_s - 3600, UTC),
                "EndTime": datetime.fromtimestamp(self.context.now_s + 1, UTC),
                "Period": period_s,
                **({"Statistics": list(statistics)} if statistics else {}),
                **more,
            },
        )["Datapoints"]
        return found


OF_VARIANT = [{"Name": "VariantName", "Value": "v"}, {"Name": "EndpointName", "Value": "e"}]
ERRORS = {
    "AlarmName": "errors",
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Dimensions": OF_VARIANT,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
"""An alarm on any error of the model."""


@pytest.fixture
def watch(memory_path: Path) -> Watch:
    """CloudWatch over an empty data folder, at noon."""
    return Watch(memory_path)
