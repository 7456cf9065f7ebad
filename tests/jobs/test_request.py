"""A job as it is asked for: what is settled before anything is loaded."""

from pathlib import Path

import pytest

from service.cli.media import known_type
from service.clock import SystemClock
from service.domain.transform.options import TransformOptions
from service.errors import ValidationFault
from service.jobs.journal import NoJournal
from service.jobs.outcome import COMPLETED
from service.jobs.request import TransformRequest, open_transform_parts, run_request
from service.jobs.transform import JobMonitor
from service.settings import load_settings
from tests.jobs.conftest import Container


def _types(container: Container, folder: Path, *names: str, kind: str | None = None) -> set[str]:
    """The types that inputs of these names are sent as."""
    for name in names:
        file = folder / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"[1]")
    parts = open_transform_parts(load_settings(data=folder / "data"), allow_paths=True)
    source, target, options = str(folder / "in"), str(folder / "out"), TransformOptions(content_type=kind)
    request = TransformRequest(container.url, source, target, options, guess_type=known_type)
    outcome = run_request(request, parts, JobMonitor(SystemClock(), NoJournal()))
    assert (outcome.status, len(outcome.files)) == (COMPLETED, len(names))
    return {headers["Content-Type"] for method, _, _, headers in container.calls if method == "POST"}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("a.csv", "deep/b.CSV"), "text/csv"),
        (("a.json",), "application/json"),
        (("a.jsonl", "b.jsonlines"), "application/jsonlines"),
        (("a.npy",), "application/x-npy"),
    ],
)
def test_inputs_are_of_the_type_that_their_endings_tell(
    container: Container, tmp_path: Path, names: tuple[str, ...], kind: str
) -> None:
    assert _types(container, tmp_path, *names) == {kind}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a.csv", "b.csv", "c.json"), "a.csv is text/csv, c.json is application/json"),
        (("a.csv", "notes"), "a.csv is text/csv, notes tells none"),
        (("deep/a.npy", "b.txt"), "b.txt tells none, deep/a.npy is application/x-npy"),
    ],
)
def test_inputs_of_several_types_are_no_job_until_somebody_says_what_they_are(
    container: Container, tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ValidationFault, match=f"endings of these differ: {told}. Say --content-type"):
        _types(container, tmp_path, *names)
    assert container.bodies() == []
    assert _types(container, tmp_path, *names, kind="application/json") == {"application/json"}
