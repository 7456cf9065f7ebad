import logging
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from service.control.declaration import DeclarationError
from service.control.declared import DeclaredFile
from service.domain import sentences
from service.domain.endpoint import Endpoint, EndpointStatus, WarmState
from service.domain.kinds import Kind
from service.store.store import DEFAULT_ENDPOINT, NOTICES, Store
from tests.conftest import wait_until
from tests.control.conftest import Control, variant

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
    """A models folder and its endpoints file beside a control plane."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.models = control.folder / "models"
        for name in ("one", "two"):
            (self.models / name).mkdir(parents=True)
        self.file = self.models / "endpoints.yaml"
        self.there: list[str] | None = None
        self.declared = self.watcher()

    @property
    def store(self) -> Store:
        return self.control.store

    def watcher(self) -> DeclaredFile:
        names = None if self.there is None else lambda: list(self.there or ())
        return DeclaredFile(self.file, self.models, self.store, self.control.context, names)

    def without_a_file(self, *models: str) -> None:
        """What a look at the models folder finds where there is no endpoints file; it is looked at."""
        if self.there is None:
            self.there = []
            self.declared = self.watcher()
        self.there = list(models)

        def seen() -> bool:
            self.declared.look()
            return self.declared.scanned == models

        wait_until(seen)

    def restart(self) -> None:
        """As after a stop: the store is opened anew and the file applied once, before anything else."""
        self.control.reopen()
        self.declared = self.watcher()
        self.declared.apply()

    def apply(self, text: str) -> list[str]:
        self.write(text)
        return self.declared.apply()

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)  # another inode, so a change even within one tick of the file system's clock

    def endpoint(self, name: str = "iris") -> Endpoint:
        return self.control.endpoint(name)

    def answer(self, state: WarmState, reason: str = "") -> None:
        self.control.settle(state, reason)

    def names(self, kind: Kind) -> list[str]:
        return self.control.names(kind)


@pytest.fixture
def place(control: Control) -> Place:
    return Place(control)


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

    assert served.revision == before.revision + 2  # warm, then followed
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
    assert place.control.describe()["EndpointConfigName"] == after.active.config_name


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
    told = place.endpoint().failure_reason
    assert told == sentences.declared_update_failed(sentences.variant_failed("b", "broken"))
    assert "tried again when the model's files or the endpoints file are saved again" in told
    assert told.endswith("(where SAGEBIRD_RELOAD is off, only the latter).")

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


def test_a_failed_endpoint_keeps_saying_why_and_takes_requests(place: Place) -> None:
    place.apply(AB)
    place.answer(WarmState.FAILED, "broken")

    assert place.endpoint().serving is not None
    assert place.declared.apply() == []
    assert place.apply(AB.replace("weight: 9", "weight: 5")) == ["endpoint iris: new weights"]

    assert place.endpoint().status is EndpointStatus.FAILED
    assert place.endpoint().failure_reason == sentences.variant_failed("a", "broken")

    place.answer(WarmState.WARM)

    assert place.endpoint().status is EndpointStatus.IN_SERVICE
    assert place.endpoint().failure_reason == ""


def test_what_is_declared_no_more_is_removed_with_all_it_needed(place: Place) -> None:
    place.apply(AB + "  other: {variants: {v: {model: one}}}\n")
    place.answer(WarmState.WARM)

    changes = place.apply("endpoints: {other: {variants: {v: {model: one}}}}")

    assert changes == ["endpoint iris deleted", "default endpoint is no longer declared"]
    assert place.endpoint().status is EndpointStatus.DELETING
    assert place.declared.apply() == []
    place.answer(WarmState.WARM)
    assert place.names(Kind.ENDPOINT) == ["other"]
    assert [name.rpartition("-")[0] for name in place.names(Kind.ENDPOINT_CONFIG)] == ["other"]
    assert [name.rpartition("-")[0] for name in place.names(Kind.MODEL)] == ["other-v"]
    assert place.store.fact(DEFAULT_ENDPOINT) is None


def test_a_file_that_is_being_written_is_left_alone(place: Place) -> None:
    place.apply(AB)
    now_s = 100.0
    watcher = DeclaredFile(
        place.file, place.models, place.store, place.control.context, settle_s=0.25, monotonic=lambda: now_s
    )
    before = place.store.revision()

    for text in ("", AB[: len(AB) // 2], "", "endpoints: {", AB):
        place.file.write_text(text)
        watcher.look()
        now_s += 0.2
    watcher.look()
    assert place.store.revision() == before

    place.file.write_text("")
    for _ in range(3):
        watcher.look()
        now_s += 0.2
    assert place.endpoint().status is EndpointStatus.DELETING


def test_a_model_that_writes_into_its_own_folder_holds_up_no_edit(place: Place) -> None:
    versions, now_s = count(), 100.0

    def version_of(location: str) -> str:
        return str(next(versions)) if location.endswith("one") else "as ever"

    context = replace(place.control.context, version_of=version_of, reloads=True)
    watcher = DeclaredFile(
        place.file, place.models, place.store, context, settle_s=0.25, monotonic=lambda: now_s
    )
    place.write(ONLY_A)
    watcher.apply()
    for _ in range(4):
        watcher.look()
        now_s += 0.2
    before = place.store.revision()
    for _ in range(4):
        watcher.look()
        now_s += 0.2
    assert place.store.revision() == before  # nothing is made of versions that do not last

    place.write(ONLY_B)
    for _ in range(4):
        watcher.look()
        now_s += 0.2
    assert place.store.revision() > before


def test_a_deleted_file_declares_nothing(place: Place) -> None:
    place.without_a_file()
    place.apply(AB)
    place.file.unlink()

    place.declared.look()
    place.answer(WarmState.WARM)

    assert place.store.changes_since(0).changed == ()


def test_a_file_deleted_while_nobody_looked_declares_nothing(place: Place) -> None:
    place.without_a_file()
    place.apply(AB)
    place.file.unlink()

    place.watcher().look()
    place.answer(WarmState.WARM)

    assert place.store.changes_since(0).changed == ()


def make_by_api(place: Place) -> None:
    place.control.create_model("own")
    place.control.create_config("own", variant(model="own"))
    place.control.create_endpoint("iris", "own")


def test_what_the_api_made_is_not_the_files_to_change(place: Place) -> None:
    make_by_api(place)
    before = place.store.changes_since(0)

    with pytest.raises(DeclarationError, match="Endpoint iris already exists and was made by the API"):
        place.apply("endpoints: {early: {variants: {v: {model: one}}}, iris: {variants: {v: {model: one}}}}")
    assert place.store.changes_since(0) == before

    place.apply("endpoints: {other: {variants: {v: {model: one}}}}")
    place.apply("")
    place.answer(WarmState.WARM)
    place.control.call("DeleteEndpoint", EndpointName="iris")
    place.answer(WarmState.WARM)
    assert place.names(Kind.ENDPOINT) == []


def test_a_bad_edit_changes_nothing_and_is_logged_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.apply(AB)
    before = place.store.changes_since(0)
    place.write(AB.replace("weight: 9", "weight: nine"))

    place.declared.look()
    place.declared.look()

    after = place.store.changes_since(0)
    assert after.changed == before.changed
    assert {**after.facts, NOTICES: []} == before.facts
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "endpoints.iris.variants.a.weight: must be a number" in record.getMessage()


def test_the_local_file_is_followed_as_the_other_one_is(place: Place) -> None:
    place.apply(AB)
    local = place.models / "endpoints.local.yaml"
    local.write_text("endpoints: {mine: {variants: {v: {model: one}}}}")
    place.declared.look()
    assert place.names(Kind.ENDPOINT) == ["iris", "mine"]

    place.file.unlink()
    place.declared.look()
    assert "mine" in place.names(Kind.ENDPOINT)
    assert place.store.fact(DEFAULT_ENDPOINT) is None

    local.write_text("endpoints: [")
    place.declared.look()
    assert "mine" in place.names(Kind.ENDPOINT)
    assert str(local) in place.store.fact(NOTICES)[0]


def test_without_a_file_models_come_and_go_with_their_folders(place: Place) -> None:
    place.without_a_file("one")
    assert place.names(Kind.ENDPOINT) == ["one"]
    assert str(place.file) in place.store.fact(NOTICES)[0]

    place.without_a_file("one", "two")
    assert place.names(Kind.ENDPOINT) == ["one", "two"]

    place.write(AB)
    place.declared.look()
    assert "iris" in place.names(Kind.ENDPOINT)
    assert place.store.fact(NOTICES) == []


def test_what_somebody_made_keeps_its_name_before_a_model_of_the_folder(place: Place) -> None:
    place.control.serve(name="one")
    before = place.endpoint("one")

    place.without_a_file("one", "two")

    assert place.endpoint("one") == before
    assert place.names(Kind.ENDPOINT) == ["one", "two"]


def test_what_is_served_without_a_file_may_be_deleted_for_good(place: Place) -> None:
    place.without_a_file("one")
    place.answer(WarmState.WARM)

    place.control.call("DeleteEndpoint", EndpointName="one")
    place.answer(WarmState.WARM)
    place.restart()

    assert place.names(Kind.ENDPOINT) == []


def test_a_file_that_was_named_and_is_missing_is_no_way_to_start(place: Place) -> None:
    with pytest.raises(DeclarationError, match=f"no endpoints file {place.file}, which SAGEBIRD_ENDPOINTS"):
        place.declared.begin()

    place.apply(AB)
    place.file.unlink()
    place.control.reopen()
    with pytest.raises(DeclarationError, match="There is no endpoints file"):
        place.watcher().begin()
    assert place.names(Kind.ENDPOINT) == ["iris"]


def test_a_file_that_was_named_and_vanishes_leaves_what_it_declared_and_is_noted(place: Place) -> None:
    place.apply(AB)
    place.file.unlink()

    place.declared.look()

    assert place.names(Kind.ENDPOINT) == ["iris"]
    assert f"There is no endpoints file {place.file}" in place.store.fact(NOTICES)[0]


def test_a_refused_edit_is_noted_until_it_is_mended(place: Place) -> None:
    place.apply(AB)
    good = place.file.rename(place.models / "good.yaml")
    place.write(AB.replace("weight: 9", "weight: nine"))
    place.declared.look()

    (notice,) = place.store.fact(NOTICES)
    assert str(place.file) in notice
    assert "endpoints.iris.variants.a.weight: must be a number of at least 0 (is 'nine')" in notice

    good.replace(place.file)  # the very file that was applied, so that nothing of it is new
    place.declared.look()

    assert place.store.fact(NOTICES) == []


def test_a_mistake_at_the_start_leaves_what_was_declared_last_and_is_noted(place: Place) -> None:
    place.apply(AB)
    place.write("endpoints: [")
    place.control.reopen()

    place.watcher().begin()

    assert place.names(Kind.ENDPOINT) == ["iris"]
    assert "is not valid YAML" in place.store.fact(NOTICES)[0]


def test_a_mistake_at_the_very_first_start_is_raised(place: Place) -> None:
    place.write("endpoints: [")

    with pytest.raises(DeclarationError, match="is not valid YAML"):
        place.watcher().begin()


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


def test_a_file_that_changed_nothing_is_not_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place.apply(AB)
    place.write(AB + "\n# a remark\n")

    place.declared.look()

    assert caplog.records == []


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
    with closing(sqlite3.connect(place.control.folder / "state.db", isolation_level=None)) as other:
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
    place.answer(WarmState.WARM)
    assert place.apply(f"endpoints: {{{long}: {{variants: {{v{'-' * 24}x: {{model: one}}}}}}}}") == [
        f"endpoint {long[:-1]}y deleted"
    ]
    assert len(place.names(Kind.ENDPOINT_CONFIG)) == 1


def test_what_is_declared_again_before_it_is_gone_is_made_anew(place: Place) -> None:
    place.apply(ONLY_A)
    place.answer(WarmState.WARM)
    before = place.endpoint().generation
    place.apply("")
    assert place.endpoint().status is EndpointStatus.DELETING

    assert place.apply(ONLY_A) == ["endpoint iris created"]

    assert place.endpoint().status is EndpointStatus.CREATING
    assert place.endpoint().generation > before
    place.answer(WarmState.WARM)
    assert place.endpoint().status is EndpointStatus.IN_SERVICE


# Who decides

EDITABLE = AB.replace("  iris:\n", "  iris:\n    api_edits: true\n")


def own_config(place: Place) -> None:
    place.control.create_model("own")
    place.control.create_config("own", variant("v", model="own"))


def config_of(place: Place) -> str:
    return str(place.control.describe()["EndpointConfigName"])


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    "operation",
    [
        "UpdateEndpoint",
        "UpdateEndpointWeightsAndCapacities",
        "DeleteEndpoint",
        "DeleteModel",
        "DeleteEndpointConfig",
    ],
)
def test_what_is_declared_is_the_files_to_change(place: Place, operation: str) -> None:
    place.apply(AB)
    place.answer(WarmState.WARM)
    own_config(place)
    model = next(name for name in place.names(Kind.MODEL) if name != "own")
    asked: dict[str, tuple[str, str, dict[str, Any]]] = {
        "UpdateEndpoint": ("endpoint", "iris", {"EndpointConfigName": "own"}),
        "UpdateEndpointWeightsAndCapacities": (
            "endpoint",
            "iris",
            {"DesiredWeightsAndCapacities": [{"VariantName": "a", "DesiredWeight": 1}]},
        ),
        "DeleteEndpoint": ("endpoint", "iris", {}),
        "DeleteModel": ("model", model, {}),
        "DeleteEndpointConfig": ("endpoint configuration", config_of(place), {}),
    }
    words, name, fields = asked[operation]
    member = {"model": "ModelName", "endpoint": "EndpointName"}.get(words, "EndpointConfigName")

    sentence = place.control.refusal(operation, **{member: name}, **fields)

    assert sentence == (
        f'The {words} "{name}" is declared in the endpoints file, which decides on it: change it there, or '
        "let the API change the endpoint by `api_edits: true`."
    )


def test_models_and_configurations_of_an_editable_endpoint_stay_the_files(place: Place) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.WARM)

    for model in place.names(Kind.MODEL):
        assert "is declared in" in place.control.refusal("DeleteModel", ModelName=model)
    assert "is declared in" in place.control.refusal(
        "DeleteEndpointConfig", EndpointConfigName=config_of(place)
    )


def test_the_name_of_an_editable_endpoint_frees_nothing_of_another_kind(place: Place) -> None:
    place.apply(AB)
    (model, _) = place.names(Kind.MODEL)
    place.apply(f"{AB}  {model}: {{api_edits: true, variants: {{v: {{model: one}}}}}}\n")

    assert "is declared in" in place.control.refusal("DeleteModel", ModelName=model)


def test_what_the_api_changed_stays_until_the_declaration_changes(place: Place) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.WARM)
    own_config(place)
    place.control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="own")
    place.answer(WarmState.WARM)

    place.restart()
    assert place.declared.apply() == []
    assert place.apply(EDITABLE + "  other: {variants: {v: {model: one}}}\n") == ["endpoint other created"]
    place.answer(WarmState.WARM)
    assert config_of(place) == "own"

    assert place.apply(EDITABLE.replace("weight: 9", "weight: 8")) == [
        "endpoint iris updated",
        "endpoint other deleted",
    ]
    place.answer(WarmState.WARM)
    assert list(place.control.variants()) == ["a", "b"]


@pytest.mark.parametrize(
    "changed", [EDITABLE.replace("weight: 9", "weight: 8"), AB], ids=["other weights", "editable no more"]
)
def test_an_editable_endpoint_that_the_api_made_anew_is_the_files_again_when_it_changes(
    place: Place, changed: str
) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.WARM)
    own_config(place)
    place.control.call("DeleteEndpoint", EndpointName="iris")
    place.answer(WarmState.WARM)
    place.control.call("CreateEndpoint", EndpointName="iris", EndpointConfigName="own")
    place.answer(WarmState.WARM)
    place.restart()
    assert config_of(place) == "own"

    assert place.apply(changed) == ["endpoint iris updated"]
    place.answer(WarmState.WARM)

    assert list(place.control.variants()) == ["a", "b"]
    assert place.endpoint().heals
    assert place.apply("endpoints: {}") == ["endpoint iris deleted", "default endpoint is no longer declared"]


def test_weights_that_the_api_set_stay_until_the_file_alone_decides_again(place: Place) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.WARM)
    place.control.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="iris",
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 0}],
    )
    place.answer(WarmState.WARM)

    place.restart()
    assert place.control.variants()["a"]["CurrentWeight"] == 0

    assert place.apply(AB) == ["endpoint iris: new weights"]
    assert place.control.variants()["a"]["CurrentWeight"] == 9


def test_what_the_api_deleted_stays_away_until_the_declaration_changes(place: Place) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.WARM)
    place.control.call("DeleteEndpoint", EndpointName="iris")
    assert place.declared.apply() == []
    place.restart()
    place.answer(WarmState.WARM)
    assert place.names(Kind.ENDPOINT) == []

    place.restart()
    assert place.names(Kind.ENDPOINT) == []

    assert place.apply(EDITABLE.replace("weight: 9", "weight: 8")) == ["endpoint iris created"]


def test_a_change_of_the_api_that_is_under_way_gives_way_to_the_file(place: Place) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.WARM)
    own_config(place)
    place.control.call("UpdateEndpoint", EndpointName="iris", EndpointConfigName="own")

    assert place.apply(AB) == ["endpoint iris updated"]

    place.answer(WarmState.WARM)
    assert list(place.control.variants()) == ["a", "b"]


def test_a_failed_editable_endpoint_can_be_deleted_by_the_api(place: Place) -> None:
    place.apply(EDITABLE)
    place.answer(WarmState.FAILED, "broken")
    own_config(place)

    assert "Cannot update failed" in place.control.refusal(
        "UpdateEndpoint", EndpointName="iris", EndpointConfigName="own"
    )
    place.control.call("DeleteEndpoint", EndpointName="iris")
    place.answer(WarmState.WARM)
    assert place.names(Kind.ENDPOINT) == []


def test_tags_can_be_put_on_what_is_declared_and_stay(place: Place) -> None:
    place.apply(AB)
    place.answer(WarmState.WARM)
    arn = place.control.describe()["EndpointArn"]
    place.control.call("AddTags", ResourceArn=arn, Tags=[{"Key": "team", "Value": "birds"}])

    place.restart()
    place.apply(AB.replace("weight: 9", "weight: 8"))

    assert place.control.call("ListTags", ResourceArn=arn) == {"Tags": [{"Key": "team", "Value": "birds"}]}


@pytest.mark.provenance("botocore")
def test_what_is_declared_is_listed_as_the_model_allows(place: Place) -> None:
    place.apply(AB)
    place.answer(WarmState.WARM)

    for kind in (Kind.MODEL, Kind.ENDPOINT_CONFIG, Kind.ENDPOINT):
        row = kind.row
        listed = place.control.call(f"List{row.list}", SortBy="Name", SortOrder="Ascending")[row.list]
        assert [one[row.name] for one in listed] == place.names(kind)
