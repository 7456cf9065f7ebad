"""Archives at the edges: one that changes while it is unpacked, and a place that something else has taken."""

import gzip
from pathlib import Path

import pytest

from service.errors import ModelFailure
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.debris import remove_tree
from tests.hosting.artifacts.test_artifact import LIMITS, files, put, refusal


def _store(tmp_path: Path) -> tuple[ArtifactStore, Path]:
    models = tmp_path / "models"
    models.mkdir()
    path = put(models, gzip.compress(files(a=b"1")))
    return ArtifactStore([models], tmp_path / "unpacked", LIMITS), path


def test_an_archive_that_changed_while_it_was_unpacked_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store, path = _store(tmp_path)
    target = tmp_path / "unpacked" / "place" / "version"
    before = store.fingerprint(path)
    path.write_bytes(gzip.compress(files(a=b"other", b=b"2")))
    with pytest.raises(ModelFailure, match="changed while it was unpacked; ask again"):
        store._unpack(path, before, target)
    assert list((tmp_path / "unpacked").iterdir()) == []
    store._unpack(path, store.fingerprint(path), target)
    assert (target / "a").read_bytes() == b"other"


def test_a_place_that_is_taken_by_what_is_no_folder_is_not_taken_for_the_model(tmp_path: Path) -> None:
    store, path = _store(tmp_path)
    target = store.open(path)
    remove_tree(target)
    target.symlink_to("nowhere")
    assert "could not be unpacked: Not a directory" in refusal(store, path)
    assert [each.name for each in (tmp_path / "unpacked").iterdir()] == [target.parent.name]
    target.unlink()
    assert (store.open(path) / "a").read_bytes() == b"1"
