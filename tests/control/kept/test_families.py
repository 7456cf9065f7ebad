"""Every family, with the least that its model asks for: made, described, listed, changed and deleted."""

from pathlib import Path
from typing import Any

import pytest

from service.clock import SystemClock
from service.control.kept.families import FAMILIES, Family, families
from service.control.kept.operations import KeptOperations
from service.domain.caller import Caller
from service.errors import CallerError, UnknownOperation
from service.store.neighbours import NeighbourStore
from service.wire.protocols.json import JsonProtocol
from service.wire.spec import Member, Service, Shape, load_service

CALLER = Caller("123456789012", "eu-west-1")


@pytest.fixture(scope="module")
def protocol() -> JsonProtocol:
    return JsonProtocol(load_service("sagemaker"))


@pytest.fixture
def kept(tmp_path: Path, protocol: JsonProtocol) -> KeptOperations:
    return KeptOperations(protocol.spec, NeighbourStore(tmp_path / "neighbours.db"), SystemClock())


def family_of(service: Service, noun: str) -> Family:
    return families(service)[f"Create{noun}"][1]


def least(shape: Shape | None) -> dict[str, Any]:
    """The required members of a structure, with values of their kinds."""
    return {} if shape is None else {name: _some(shape.members[name]) for name in shape.required}


def _some(member: Member) -> Any:
    shape = member.shape
    if shape.kind == "structure":
        return least(shape)
    simple = {"list": [], "map": {}, "integer": 1, "long": 1, "boolean": True, "float": 1.0, "double": 1.0}
    if shape.kind in simple:
        return simple[shape.kind]
    return shape.enum[0] if shape.enum else f"any-{member.name}"


def make(kept: KeptOperations, noun: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """One, and what it lies in; what it was made of, and what the call answered."""
    family = family_of(kept.service, noun)
    given = least(family.create.input)
    if family.key == ("DomainId", f"{noun}Name"):
        given["DomainId"] = make(kept, "Domain")[1]["DomainId"]
    if noun == "Trial":
        given["ExperimentName"] = make(kept, "Experiment")[0]["ExperimentName"]
    return given, dict(kept.answer(CALLER, f"Create{noun}", given))


@pytest.mark.parametrize("noun", FAMILIES)
def test_each_family_keeps_and_lets_go(kept: KeptOperations, protocol: JsonProtocol, noun: str) -> None:
    family = family_of(kept.service, noun)
    given, made = make(kept, noun)
    named = {name: {**given, **made}[name] for name in family.key}

    found = kept.answer(CALLER, f"Describe{noun}", named)
    assert found[family.arn].startswith(f"arn:aws:sagemaker:eu-west-1:123456789012:{family.tail}/")
    shown = family.describe.output.members if family.describe.output else {}
    assert {name: found[name] for name in given if name in shown} == {
        name: value for name, value in given.items() if name in shown
    }
    assert protocol.write(f"Describe{noun}", found, "id").status == 200

    member, _ = family.summaries
    (summary,) = kept.answer(CALLER, family.listed.name, {})[member]
    assert named[family.key[-1]] in summary.values()

    if family.update is not None:
        kept.answer(CALLER, f"Update{noun}", {**least(family.update.input), **named})
    kept.answer(CALLER, f"Delete{noun}", named)
    assert kept.answer(CALLER, family.listed.name, {})[member] == []
    with pytest.raises(CallerError):
        kept.answer(CALLER, f"Describe{noun}", named)


def test_what_is_there_is_told_to_be_ready_where_a_status_is_told(kept: KeptOperations) -> None:
    told = {noun: family_of(kept.service, noun).status for noun in FAMILIES}

    assert told["FeatureGroup"] == ("FeatureGroupStatus", "Created")
    assert told["Image"] == ("ImageStatus", "CREATED")
    assert told["Domain"] == ("Status", "InService")
    assert told["Project"] == ("ProjectStatus", "CreateCompleted")
    assert told["Experiment"] is None
    assert told["Action"] is None  # whose caller says how it is


def test_jobs_and_what_is_of_no_family_are_refused_by_name(kept: KeptOperations) -> None:
    for operation in ("CreateTrainingJob", "CreateNotebookInstance", "StartPipelineExecution"):
        with pytest.raises(UnknownOperation, match=operation):
            kept.answer(CALLER, operation, {})


def test_it_is_there_after_a_restart(tmp_path: Path, kept: KeptOperations) -> None:
    given, _ = make(kept, "Experiment")
    kept.store.close()

    again = KeptOperations(kept.service, NeighbourStore(tmp_path / "neighbours.db"), SystemClock())

    found = again.answer(CALLER, "DescribeExperiment", {"ExperimentName": given["ExperimentName"]})
    assert found["ExperimentName"] == given["ExperimentName"]


def test_model_cards_count_their_versions(kept: KeptOperations) -> None:
    given, _ = make(kept, "ModelCard")
    name = {"ModelCardName": given["ModelCardName"]}
    kept.answer(CALLER, "UpdateModelCard", {**name, "Content": "{}"})

    assert kept.answer(CALLER, "DescribeModelCard", name)["ModelCardVersion"] == 2


def test_what_it_cannot_change_is_said(kept: KeptOperations) -> None:
    given, _ = make(kept, "Project")
    asked = {"ProjectName": given["ProjectName"], "TemplateProvidersToUpdate": [{}]}

    with pytest.raises(CallerError, match="TemplateProvidersToUpdate cannot be changed"):
        kept.answer(CALLER, "UpdateProject", asked)
