"""Packages beside sagebird: installed into the environment that it runs in."""

import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.harness.wheels import write_wheel


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has what this one has, and can be thrown away."""
    folder = tmp_path_factory.mktemp("beside") / "environment"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True
    )
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for name in ("greeting", "listed-greeting"):
        write_wheel(folder, name, "1.0", {f"{name.replace('-', '_')}.py": "WORD = 'hello'\n"})
    write_wheel(folder, "numpy", "1.0", {})
    write_wheel(folder, "needs-old-numpy", "1.0", {}, ["numpy<2"])
    return folder


def install(python: Path, wheels: Path, models: Path, *packages: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uv
    return subprocess.run(
        [str(python), "-m", "service.cli", "install", *packages, "--models", str(models)],
        env={**os.environ, "PATH": path, "SAGEBIRD_WHEELS": str(wheels)},
        capture_output=True,
        text=True,
        check=False,
    )


def can_import(python: Path, module: str) -> bool:
    tried = subprocess.run([str(python), "-c", f"import {module}"], capture_output=True, check=False)
    return tried.returncode == 0


def test_packages_are_installed_where_sagebird_runs(python: Path, wheels: Path, tmp_path: Path) -> None:
    done = install(python, wheels, tmp_path, "greeting")

    assert done.returncode == 0, done.stderr
    assert "greeting==1.0" in done.stderr
    assert can_import(python, "greeting")


def test_without_a_name_what_is_listed_beside_the_endpoints_is_installed(
    python: Path, wheels: Path, tmp_path: Path
) -> None:
    assert "Name a package: there is no" in install(python, wheels, tmp_path).stderr
    (tmp_path / "requirements.txt").write_text("listed-greeting>=1\n")
    done = install(python, wheels, tmp_path)

    assert done.returncode == 0, done.stderr
    assert can_import(python, "listed_greeting")


@pytest.mark.parametrize("package", ["numpy==1.0", "needs-old-numpy"])
def test_what_sagebird_needs_stays_as_it_is(python: Path, wheels: Path, tmp_path: Path, package: str) -> None:
    done = install(python, wheels, tmp_path, package)

    assert done.returncode == 1
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("sagebird: ")]
    assert f"numpy=={metadata.version('numpy')}" in sentence
