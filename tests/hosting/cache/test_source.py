"""What makes two calls share a model, and how people call it."""

from pathlib import Path

import pytest

from service.hosting.cache.source import ModelKey


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/models/iris", "iris"),
        ("/models/iris.tar.gz", "iris"),
        ("/models/iris.tgz", "iris"),
        ("/models/team/iris-1.2", "iris-1.2"),
        ("/models/iris.tar.gz.old", "iris.tar.gz.old"),
    ],
)
def test_a_model_is_called_by_its_folder_or_archive_without_the_ending(path: str, name: str) -> None:
    assert ModelKey(Path(path)).name == name


def test_the_same_files_in_another_environment_are_another_model() -> None:
    plain, told = ModelKey(Path("/m/a")), ModelKey(Path("/m/a"), (("OUTPUT", "probabilities"),))

    assert plain == ModelKey(Path("/m/a"))
    assert len({plain, told, ModelKey(Path("/m/a"))}) == 2


def test_a_model_in_a_bucket_is_called_by_its_address() -> None:
    key = ModelKey(Path("/data/s3/b/iris/model.tar.gz"), address="s3://b/iris/model.tar.gz")

    assert key.name == "s3://b/iris/model"
    assert key == ModelKey(Path("/data/s3/b/iris/model.tar.gz"))


def test_deployments_of_other_versions_share_no_model() -> None:
    assert ModelKey(Path("/m/a"), version="1") != ModelKey(Path("/m/a"), version="2")
