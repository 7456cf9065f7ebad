"""How uv is called at the edges: where it is not there, behind a mirror, and with no Python that will do."""

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ModelFailure, NotInstalled
from service.hosting.environments.asked import EnvironmentSpec
from service.hosting.environments.environments import Environments
from service.hosting.environments.installer import install
from service.hosting.environments.interpreters import NEWEST, OLDEST

Play = Callable[[str], None]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Have no uv but one that does this; there is none before."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(scripts))
    monkeypatch.setenv("PATH", str(scripts))
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_CACHE_DIR", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)

    def write(does: str) -> None:
        (scripts / "uv").write_text(f"#!/bin/sh\n{does}\n")
        (scripts / "uv").chmod(0o700)

    return write


def _install(cache: Path | None) -> list[str]:
    heard: list[str] = []
    install(Path("/nowhere/python"), ["a"], None, cache, heard.append)
    return heard


@pytest.mark.usefixtures("play")
def test_where_uv_is_not_installed_that_is_said_and_no_other_python_tried() -> None:
    with pytest.raises(NotInstalled, match="uv is not installed beside sagebird") as caught:
        _install(None)
    assert caught.value.final


def test_a_mirror_that_pip_knows_is_told_to_uv_unless_it_knows_one(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play('echo "$UV_DEFAULT_INDEX $UV_INDEX"')
    monkeypatch.setenv("PIP_INDEX_URL", "http://one")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://two")
    assert _install(None) == ["http://one http://two"]
    monkeypatch.setenv("UV_INDEX", "http://three")
    assert _install(None) == ["http://one http://three"]


def test_uv_keeps_its_own_cache_where_it_is_given_none(play: Play, tmp_path: Path) -> None:
    play('echo "${UV_CACHE_DIR-its own}"')
    assert _install(None) == ["its own"]
    assert _install(tmp_path) == [str(tmp_path)]


def test_who_builds_packages_for_models_sees_no_secrets_of_others(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(
        'echo "${DATABASE_URL-} ${GITHUB_TOKEN-} ${AWS_SECRET_ACCESS_KEY-} ${UV_PUBLISH_TOKEN-}'
        ' $HDF5_DIR $CFLAGS $https_proxy"'
    )
    names = ("DATABASE_URL", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "UV_PUBLISH_TOKEN")
    for name in (*names, "HDF5_DIR", "CFLAGS", "https_proxy"):
        monkeypatch.setenv(name, name.lower())
    assert _install(tmp_path) == ["hdf5_dir cflags https_proxy"]
    assert _install(None) == ["database_url github_token   hdf5_dir cflags https_proxy"]


def test_each_python_is_tried_and_where_none_will_do_all_are_named(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play('echo "error: the current Python does not do"; exit 1')
    other = NEWEST if sys.version_info.minor == OLDEST else OLDEST
    stub = tmp_path / "scripts" / f"python3.{other}"
    stub.write_text("")
    stub.chmod(0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.delenv(name, raising=False)
    environments = Environments(tmp_path / "environments")
    with pytest.raises(ModelFailure) as caught:
        environments.python_for(EnvironmentSpec(("a==1",), shown="requirements.txt"), lambda _line: None)
    own = f"3.{sys.version_info.minor}"
    assert f"with Python {own} (nor with 3.{other}): the current Python does not do;" in str(caught.value)
    assert not [name for name in os.listdir(environments.folder) if name.startswith(".new-")]
