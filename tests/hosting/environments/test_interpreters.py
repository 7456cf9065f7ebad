"""Which interpreters are found."""

import sys
from pathlib import Path

import pytest

from service.hosting.environments.interpreters import NEWEST, OLDEST, interpreters

OWN = f"3.{sys.version_info.minor}"
OTHERS = [f"3.{minor}" for minor in range(NEWEST, OLDEST - 1, -1) if f"3.{minor}" != OWN]


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o755)
    return path


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PATH", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def test_the_own_one_is_always_there() -> None:
    assert [(each.path, each.version) for each in interpreters()] == [(sys.executable, OWN)]


def test_one_of_each_version_is_found_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, older, oldest = OTHERS[0], OTHERS[1], OTHERS[-1]
    on_path = executable(tmp_path / "bin" / f"python{oldest}")
    executable(tmp_path / "pyenv" / "shims" / f"python{newest}")
    executable(tmp_path / "pyenv" / "versions" / f"{oldest}.1" / "bin" / f"python{oldest}")
    kept = executable(tmp_path / "pyenv" / "versions" / f"{newest}.2" / "bin" / f"python{newest}")
    of_uv = executable(tmp_path / "uv" / f"cpython-{older}.3-linux" / "bin" / f"python{older}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'pyenv' / 'shims'}:{tmp_path / 'bin'}:")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))

    found = {each.version: each.path for each in interpreters()}

    assert found == {OWN: sys.executable, newest: str(kept), older: str(of_uv), oldest: str(on_path)}
    assert list(found) == [OWN, newest, older, oldest]
