"""What variants use, made out of what containers, gateways and the machine tell; looked at in its time."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.clock import ManualClock
from service.domain.endpoint import Endpoint, EndpointStatus, Fleet, ModelSource, Variant
from service.domain.endpoint_state import endpoint_to_state
from service.domain.kinds import Kind
from service.domain.log_places import place_below, place_of_job, place_of_variant
from service.domain.resource import Resource
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.container_card import ContainerCard
from service.machine import machine_memory_bytes
from service.observe.counts import Registry
from service.observe.gateway_work import GatewayWatch
from service.observe.utilization import UtilizationKeeping, UtilizationPoint, UtilizationSeries
from service.processes.instances import InstanceMeter, InstanceSources
from service.store.members import GatewayReport, ModelReport
from service.store.store import Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MIB = 1 << 20


class Machine:
    """An endpoint with a model in the gateways, one in a container, and a folder of many."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.models = folder, folder / "models"
        for name in ("plain", "coded", "many/one", "many/other"):
            (self.models / name).mkdir(parents=True)
            (self.models / name / "model.joblib").touch()
        self.store = Store(folder / "state.db")
        self.clock = ManualClock(NOON)
        self.cards: list[ContainerCard] = []
        self.registry = Registry(folder / "metrics", "g0")
        self.series = UtilizationSeries(folder / "series.db")
        names = ("plain", "coded", "many")
        self.variants = tuple(Variant(name, 1.0, ModelSource(name, multi=name == "many")) for name in names)
        self.serve(generation=1)
        sources = InstanceSources(
            self.store,
            "family",
            ArtifactStore([self.models], folder / "unpacked", Limits(2**30, 1000, 100.0)),
            lambda: self.cards,
            GatewayWatch(folder / "metrics"),
            folder,
        )
        self.meter = InstanceMeter(sources, UtilizationKeeping(folder / "series.db", 86_400.0), self.clock)

    def serve(self, generation: int) -> None:
        fleet = Fleet("config", generation, self.variants)
        endpoint = Endpoint("e", EndpointStatus.IN_SERVICE, fleet, generation=generation)
        state = endpoint_to_state(endpoint)
        with self.store.change() as change:
            change.put(Resource(Kind.ENDPOINT, "e", {}, NOON, NOON, endpoint.status, state=state))

    def contain(self, cpu_s: float, size_bytes: int = 64 * MIB, key: str = "k") -> None:
        """Have the container have used so much; it serves the variant, and a job that is none's."""
        place = str(place_of_variant("e", "coded", self.variants[1].source))
        places = (place, place_below(place, "stage"), str(place_of_job("job", NOON)))
        card = ContainerCard("coded", "", "ready", (1,), 0, 0.0, 1, size_bytes, 0, "", cpu_s, key, places)
        self.cards = [card]

    def report(self, member: str, **sizes: int) -> None:
        models = [
            ModelReport(name, str(self.models / name.replace("_", "/")), "loaded", size, "")
            for name, size in sizes.items()
        ]
        failed = ModelReport("plain", str(self.models / "plain"), "failed", 5 * MIB, "")
        self.store.report(GatewayReport(member, 1, (), (*models, failed)))

    def look(self, after_s: float = 10.0) -> None:
        self.clock.advance(after_s)
        self.meter.look()

    def last(self, variant: str) -> UtilizationPoint:
        """The datapoint of the latest minute."""
        return self.series.read("e", variant, 0)[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.store.close()


def test_a_container_has_used_what_its_processes_have(machine: Machine) -> None:
    machine.contain(cpu_s=100.0)  # long before anybody looked
    machine.look()
    assert machine.series.pairs(0) == set()

    machine.contain(cpu_s=115.0)
    machine.look()

    point = machine.last("coded")
    assert point.cpu.greatest == pytest.approx(150.0)  # one and a half CPUs, as AWS counts
    assert point.memory.greatest == pytest.approx(100 * 64 * MIB / machine_memory_bytes())
    disk = shutil.disk_usage(machine.folder)
    assert point.disk.greatest == pytest.approx(100 * disk.used / (disk.used + disk.free), abs=5)
    assert machine.series.pairs(0) == {("e", "plain"), ("e", "coded"), ("e", "many")}
    assert machine.last("plain").cpu.greatest == 0.0


def test_another_container_in_its_place_counts_from_its_beginning(machine: Machine) -> None:
    machine.contain(cpu_s=100.0)
    machine.look()
    machine.contain(cpu_s=2.0, key="another")
    machine.look()
    assert machine.last("coded").cpu.greatest == pytest.approx(20.0)


def test_what_is_at_a_container_is_no_work_of_gateways(machine: Machine) -> None:
    machine.look()
    machine.contain(cpu_s=0.0)
    machine.registry.invocation("e", "coded").count(9.0, 9.0)
    machine.registry.flush()
    machine.look()
    assert machine.last("coded").cpu.greatest == 0.0

    machine.cards = []  # its host is away, or it is unloaded
    machine.registry.invocation("e", "coded").count(9.0, 9.0)
    machine.registry.flush()
    machine.look()
    assert (machine.last("coded").cpu.greatest, machine.last("coded").memory.least) == (0.0, 0.0)


def test_models_in_gateways_hold_what_all_gateways_say(machine: Machine) -> None:
    machine.report("family/g0", plain=3 * MIB, many_one=1 * MIB, many_other=2 * MIB)
    machine.report("family/g1", plain=4 * MIB)
    machine.report("elsewhere/g0", plain=500 * MIB)
    machine.look()
    machine.look()

    whole = machine_memory_bytes()
    assert machine.last("plain").memory.greatest == pytest.approx(100 * 7 * MIB / whole)
    assert machine.last("many").memory.greatest == pytest.approx(100 * 3 * MIB / whole)
    assert machine.last("coded").memory.greatest == 0.0


def test_a_model_in_gateways_has_used_what_requests_were_at_it(machine: Machine) -> None:
    machine.registry.invocation("e", "plain").count(0.02, 0.001)
    machine.registry.flush()
    machine.look()
    machine.registry.invocation("e", "plain").count(0.02, 0.0005, 2)
    machine.registry.flush()
    used_s = time.process_time()
    while time.process_time() < used_s + 0.05:  # this process is the gateway: it has used more than that
        pass
    machine.look()
    assert machine.last("plain").cpu.greatest == pytest.approx(0.01)


def test_it_looks_every_ten_seconds(machine: Machine) -> None:
    for _ in range(13):
        machine.look(after_s=5.0)
    points = machine.series.read("e", "plain", 0)
    assert [point.cpu.count for point in points] == [5, 1]


def test_variants_are_those_that_serve(machine: Machine) -> None:
    machine.look()
    machine.look()
    machine.variants = machine.variants[:1]
    machine.serve(generation=2)
    machine.look(after_s=60.0)
    assert machine.series.pairs(NOON.timestamp() + 60) == {("e", "plain")}


def test_a_database_that_is_none_is_said_once_and_tried_again(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    file = machine.folder / "series.db"
    file.write_bytes(b"no database at all" * 100)
    machine.look()
    machine.look()
    machine.look()
    file.unlink()
    machine.look()
    assert machine.last("plain").cpu.count == 1
    assert sum("what variants use cannot be kept" in record.getMessage() for record in caplog.records) == 1
