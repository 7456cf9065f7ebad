"""Runs a program in a folder of its own as users do, with the server's address in a variable or led there."""

import csv
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sklearn.datasets import load_iris

from tests.programs import environments
from tests.programs.catalogue import FOLDER, STEP, Program

_ROOT: Final = FOLDER.parents[2]
_MODELS: Final = {"logistic": "iris-logistic", "forest": "iris-forest"}
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
_MOST_S: Final = 600


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a program: how many of its steps it did, how it ended and what it said."""

    program: Program
    done: int
    code: int
    said: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it went to its end, by all of its steps."""
        return self.code == 0 and self.done == self.program.steps


def run(program: Program, url: str, folder: Path) -> Ran:
    """Run a program against a server; its environment must be there."""
    _furnish(folder, program)
    began = time.monotonic()
    done = subprocess.run(
        _command(program, url, folder),
        cwd=folder,
        env=_variables(program, url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_MOST_S,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    steps = sum(line.startswith(STEP) for line in said.splitlines())
    return Ran(program, steps, done.returncode, said, time.monotonic() - began)


def _command(program: Program, url: str, folder: Path) -> list[str]:
    file = str(folder / program.file)
    if program.file.endswith(".mjs"):
        return [str(shutil.which("node")), file]
    if program.file.endswith(".sh"):
        return ["bash", file]
    command = [str(environments.python_of(program.environment)), file]
    if program.led:
        return [sys.executable, "-m", "service.cli", "run", "--url", url, "--", *command]
    return command


def address(url: str) -> dict[str, str]:
    """What everybody sets who uses AWS's clients, and the address, which is all that is ours."""
    credentials = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    region = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}  # Python's name, JavaScript's
    nobodys = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**credentials, **region, **nobodys, "AWS_ENDPOINT_URL": url}


def _variables(program: Program, url: str) -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    tools = environments.python_of(program.environment).parent
    path = {"PATH": f"{tools}{os.pathsep}{kept.get('PATH', '')}"}
    if program.led:  # `sagebird run` says all else
        return {**kept, **path, "PYTHONPATH": str(_ROOT)}
    return {**kept, **path, **address(url)}


def _furnish(folder: Path, program: Program) -> None:
    """Put the program there, with two models, flowers and their labels."""
    for name in (program.file, *program.needs):
        shutil.copy(FOLDER / name, folder)
    for name, model in _MODELS.items():
        weights = _ROOT / "models" / model / "model.joblib"
        shutil.copy(weights, folder / f"{name}.joblib")
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(weights, "model.joblib")
    (folder / "rows.csv").write_text("5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n", encoding="utf-8")
    iris = load_iris()
    with (folder / "labelled.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*row, label] for row, label in zip(iris.data, iris.target, strict=True))
    if program.file.endswith(".mjs"):
        (folder / "node_modules").symlink_to(environments.cache() / program.environment / "node_modules")
