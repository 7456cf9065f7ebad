import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from service.arn import Arns
from service.clock import ManualClock
from service.control.declaration import DeclarationError
from service.control.declared import DeclaredFile
from service.control.endpoints import create_endpoint, endpoint_of
from service.control.reconcile import reconcile
from service.control.resources import Resources
from service.domain.endpoint import Endpoint, EndpointStatus, WarmReport, WarmState
from service.domain.kinds import Kind
from service.store.store import DEFAULT_ENDPOINT, GatewayReport, Store

ARNS = Arns("000000000000", "us-east-1")
CLOCK = ManualClock(datetime(2026, 1, 2, 12, tzinfo=UTC))
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")

AB = """
default_endpoint: iris
endpoints:
  iris:
    variants:
      a: {model: one, weight: 9}
      b: {model: two, weight: 1}
"""
ONLY_A = "endpoints: {iris: {variants: {a: {model: one}}}}"
ONLY_B = "endpoints: {iris: {variants: {b: {model: two}}}}"


class Place:
    """A models folder, its endpoints file and a store, with a gateway that has everything warm when asked."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        for name in ("one", "two"):
            (self.models / name).mkdir(parents=True)
        self.file = self.models / "endpoints.yaml"
        self.database = folder / "state.db"
        self.store = Store(self.database)
        self.declared = self.watcher()

    def watcher(self) -> DeclaredFile:
        return DeclaredFile(self.file, self.models, self.store, ARNS, CLOCK)

    def apply(self, text: str) -> list[str]:
        self.write(text)
        return self.declared.apply()

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)  # another inode, so a change even within one tick of the file system's clock

    def endpoint(self, name: str = "iris") -> Endpoint:
        resource = self.store.get(Kind.ENDPOINT, name)
        assert resource is not None
        return endpoint_of(resource)

    def answer(self, state: WarmState, reason: str = "") -> None:
        words = [
            WarmReport(resource.name, fleet.generation, variant.name, state, reason)
            for resource in self.store.of_kind(Kind.ENDPOINT)
            if (fleet := endpoint_of(resource).pending) is not None
            for variant in fleet.variants
        ]
        self.store.report(GatewayReport(1, self.store.revision(), tuple(words)))
        reconcile(self.store, ARNS, CLOCK, lambda _pid: True)

    def names(self, kind: Kind) -> list[str]:
        return [resource.name for resource in self.store.of_kind(kind)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.store.close()


def test_a_declaration_becomes_ordinary_resources(place: Place) -> None:
    assert place.apply(AB) == ["endpoint iris created", "default endpoint is iris"]

    (config,) = place.store.of_kind(Kind.ENDPOINT_CONFIG)
    models = {model.name: model for model in place.store.of_kind(Kind.MODEL)}
    variants = config.document["ProductionVariants"]
    assert [variant["VariantName"] for variant in variants] == ["a", "b"]
    assert [variant["InitialVariantWeight"] for variant in variants] == [9.0, 1.0]
    container = models[variants[0]["ModelName"]].document["PrimaryContainer"]
    assert container["ModelDataUrl"] == (place.models / "one").as_uri() + "/"
    assert container["Mode"] == "SingleModel"
    assert place.store.fact(DEFAULT_ENDPOINT) == "iris"
    assert all(resource.declared for resource in place.store.changes_since(0).changed)
    assert place.endpoint().status is EndpointStatus.CREATING


def test_what_the_file_says_reaches_the_fleet(place: Place) -> None:
    (place.models / "three.tar.gz").write_bytes(b"")
    text = """
endpoints:
  many: {variants: {all: {models: ./}}}
  one: {variants: {v: {model: three, weight: 2, lazy: true, pin: true, environment: {A: b}}}}
"""

    place.apply(text)

    many, one = place.endpoint("many").pending, place.endpoint("one").pending
    assert many is not None
    assert one is not None
    assert many.variants[0].source.multi
    (variant,) = one.variants
    assert (variant.weight, variant.lazy, variant.pin) == (2.0, True, True)
    assert variant.source.location == (place.models / "three.tar.gz").as_uri()
    assert variant.source.environment == (("A", "b"),)


def test_applying_twice_changes_nothing(place: Place) -> None:
    place.apply(AB)
    before = place.store.changes_since(0)

    assert place.declared.apply() == []
    assert place.watcher().apply() == []
    place.answer(WarmState.WARM)
    served = place.store.changes_since(0)
    assert place.declared.apply() == []

    assert served.revision == before.revision + 1
    assert place.store.changes_since(0) == served


def test_other_weights_keep_the_loaded_models(place: Place) -> None:
    place.apply(AB)
    place.answer(WarmState.WARM)
    before = place.endpoint()
    assert before.active is not None

    assert place.apply(AB.replace("weight: 9", "weight: 0")) == ["endpoint iris: new weights"]

    after = place.endpoint()
    assert after.active is not None
    assert after.status is EndpointStatus.IN_SERVICE
    assert not after.busy
    assert after.active.generation == before.active.generation
    assert [variant.weight for variant in after.active.variants] == [0.0, 1.0]
    assert place.names(Kind.ENDPOINT_CONFIG) == [after.active.config_name]
    resource = place.store.get(Kind.ENDPOINT, "iris")
    assert resource is not None
    assert resource.document["EndpointConfigName"] == after.active.config_name


def test_other_models_are_prepared_while_the_old_ones_serve(place: Place) -> None:
    place.apply(AB)
    place.answer(WarmState.WARM)
    before = place.endpoint().active

    assert place.apply(AB.replace("model: two", "model: one")) == ["endpoint iris updated"]

    during = place.endpoint()
    assert during.status is EndpointStatus.UPDATING
    assert during.active == before
    assert during.pending is not None
    place.answer(WarmState.WARM)
    assert place.endpoint().active == during.pending


@pytest.mark.parametrize("edit", ["lazy: true", "pin: true", "environment: {A: b}"])
def test_other_conditions_are_an_update_too(place: Place, edit: str) -> None:
    place.apply(AB)
    place.answer(WarmState.WARM)

    assert place.apply(AB.replace("weight: 9", f"weight: 9, {edit}")) == ["endpoint iris updated"]


def test_an_edit_during_a_change_wins(place: Place) -> None:
    place.apply(AB)
    first = place.endpoint().pending
    assert place.declared.apply() == []

    assert place.apply(AB.replace("weight: 9", "weight: 5")) == ["endpoint iris updated"]

    second = place.endpoint().pending
    assert first is not None
    assert second is not None
    assert second.generation > first.generation
    assert [variant.weight for variant in second.variants] == [5.0, 1.0]


def test_a_failed_update_that_is_taken_back_is_forgotten(place: Place) -> None:
    place.apply(ONLY_A)
    place.answer(WarmState.WARM)
    place.apply(ONLY_B)
    place.answer(WarmState.FAILED, "broken")
    assert place.endpoint().failure_reason == "Variant b: broken"

    assert place.apply(ONLY_A) == ["endpoint iris: the update that failed is withdrawn"]

    assert place.endpoint().failure_reason == ""
    assert place.endpoint().status is EndpointStatus.IN_SERVICE
    assert place.declared.apply() == []


def test_a_failed_update_that_still_stands_is_tried_again(place: Place) -> None:
    place.apply(ONLY_A)
    place.answer(WarmState.WARM)
    place.apply(ONLY_B)
    place.answer(WarmState.FAILED, "broken")

    assert place.declared.apply() == ["endpoint iris updated"]


def test_a_failed_endpoint_keeps_saying_why(place: Place) -> None:
    place.apply(AB)
    place.answer(WarmState.FAILED, "broken")

    assert place.declared.apply() == []
    assert place.apply(AB.replace("weight: 9", "weight: 5")) == ["endpoint iris: new weights"]

    assert place.endpoint().status is EndpointStatus.FAILED
    assert place.endpoint().failure_reason == "Variant a: broken"


def test_what_is_declared_no_more_is_removed_with_all_it_needed(place: Place) -> None:
    place.apply(AB + "  other: {variants: {v: {model: one}}}\n")
    place.answer(WarmState.WARM)

    changes = place.apply("endpoints: {other: {variants: {v: {model: one}}}}")

    assert changes == ["endpoint iris deleted", "default endpoint is no longer declared"]
    assert place.names(Kind.ENDPOINT) == ["other"]
    assert [name.rpartition("-")[0] for name in place.names(Kind.ENDPOINT_CONFIG)] == ["other"]
    assert [name.rpartition("-")[0] for name in place.names(Kind.MODEL)] == ["other-v"]
    assert place.store.fact(DEFAULT_ENDPOINT) is None


def test_a_deleted_file_declares_nothing(place: Place) -> None:
    place.apply(AB)
    place.file.unlink()

    place.declared.look()

    assert place.store.changes_since(0).changed == ()


def test_a_file_deleted_while_nobody_looked_declares_nothing(place: Place) -> None:
    place.apply(AB)
    place.file.unlink()

    place.watcher().look()

    assert place.store.changes_since(0).changed == ()


def make_by_api(place: Place) -> None:
    with place.store.change() as change:
        resources = Resources(change, ARNS, CLOCK)
        container = {"ModelDataUrl": "file:///m/one"}
        resources.create(Kind.MODEL, {"ModelName": "own", "PrimaryContainer": container})
        variants = [{"VariantName": "a", "ModelName": "own"}]
        resources.create(Kind.ENDPOINT_CONFIG, {"EndpointConfigName": "own", "ProductionVariants": variants})
        create_endpoint(resources, {"EndpointName": "iris", "EndpointConfigName": "own"})


def test_what_the_api_made_is_not_the_files_to_change(place: Place) -> None:
    make_by_api(place)
    before = place.store.changes_since(0)

    with pytest.raises(DeclarationError, match="Endpoint iris already exists and was made by the API"):
        place.apply("endpoints: {early: {variants: {v: {model: one}}}, iris: {variants: {v: {model: one}}}}")
    assert place.store.changes_since(0) == before

    place.apply("endpoints: {other: {variants: {v: {model: one}}}}")
    place.apply("")
    assert place.store.changes_since(0).changed == before.changed


def test_a_bad_edit_changes_nothing_and_is_logged_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.apply(AB)
    before = place.store.changes_since(0)
    place.write(AB.replace("weight: 9", "weight: nine"))

    place.declared.look()
    place.declared.look()

    assert place.store.changes_since(0) == before
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "endpoints.iris.variants.a.weight: must be a number" in record.getMessage()


def test_a_mended_file_is_applied(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place.write("endpoints: [")
    place.declared.look()
    place.write(AB)

    place.declared.look()
    place.declared.look()

    assert place.names(Kind.ENDPOINT) == ["iris"]
    assert ["refused" in record.getMessage() for record in caplog.records] == [True, False]
    assert "endpoint iris created" in caplog.records[1].getMessage()


def test_a_refused_file_is_tried_again_when_what_it_names_turns_up(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(place.models / "two")
    place.write(AB)
    place.declared.look()
    assert place.names(Kind.ENDPOINT) == []

    (place.models / "two").mkdir()
    place.declared.look()

    assert place.names(Kind.ENDPOINT) == ["iris"]
    assert len(caplog.records) == 1


def test_an_edit_outlives_a_locked_database(place: Place) -> None:
    place.store.close()
    place.write(AB)
    with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
        other.execute("ALTER TABLE resources RENAME TO away")
        with pytest.raises(OperationalError):
            place.declared.look()
        other.execute("ALTER TABLE away RENAME TO resources")

    place.declared.look()

    assert place.names(Kind.ENDPOINT) == ["iris"]


def test_names_made_up_are_names_that_aws_would_take(place: Place) -> None:
    long = "e" + "-" * 22 + "x" * 40
    place.apply(
        f"endpoints: {{{long}: {{variants: {{v{'-' * 24}x: {{model: one}}}}}}, "
        f"{long[:-1]}y: {{variants: {{v{'-' * 24}x: {{model: one}}}}}}}}"
    )

    for resource in place.store.changes_since(0).changed:
        assert NAME.fullmatch(resource.name)
    assert len(place.names(Kind.ENDPOINT)) == 2
    assert len(place.names(Kind.ENDPOINT_CONFIG)) == 1  # alike in all that counts, so shared
    assert place.apply(f"endpoints: {{{long}: {{variants: {{v{'-' * 24}x: {{model: one}}}}}}}}") == [
        f"endpoint {long[:-1]}y deleted"
    ]
    assert len(place.names(Kind.ENDPOINT_CONFIG)) == 1
