"""Fetches real wheels for the tests of models' own environments: `python tests/…/fetch_wheels.py FOLDER`.

Old versions, and libraries that the suite's own environment does not have. FOLDER is kept: what is in there
is not fetched again. What cannot be had is said loudly, and its tests are skipped.
"""

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from service.hosting.environments.interpreters import interpreters
from tests.harness.wheels import BASE

OLD = ("scikit-learn==1.2.2", "numpy<1.25", "scipy<1.11", "pandas<2.1", "joblib<1.3")
"""As AWS's image of scikit-learn 1.2 has them; for a Python up to the newest that these know."""
LIBRARIES = MappingProxyType(
    {"catboost": "catboost==1.2.10", "mlflow": "mlflow-skinny==3.17.2", "xgboost": "xgboost-cpu==2.1.4"}
)
"""Module -> what is asked for to have it."""
TORCH = "torch"
"""Only where pip is set up with a folder of wheels that has one for the CPU: the index's takes gigabytes."""
_NEWEST_FOR_OLD = 11
_LONGEST_S = 200


def distribution_of(wanted: str) -> str:
    """How the names of its wheels begin."""
    return wanted.partition("=")[0].replace("-", "_")


def has_wheel(folder: Path, wanted: str) -> bool:
    """Whether a folder has it; then also what it needs."""
    return any(folder.glob(f"{distribution_of(wanted)}-*.whl"))


def main(folder: Path) -> int:
    """Fetch all; 1 if something is not to be had."""
    folder.mkdir(parents=True, exist_ok=True)
    here = [f"{name}=={metadata.version(name)}" for name in BASE]
    missing = [*_fetch_old(folder)]
    for wanted in LIBRARIES.values():
        missing += _fetch(folder, wanted, [wanted, *here])
    missing += _fetch_torch(folder, here)
    for told in missing:
        print(f"!!! NOT TRIED: {told}")
    return bool(missing)


def _fetch_old(folder: Path) -> Iterable[str]:
    version = next((each.version for each in interpreters() if _minor(each.version) <= _NEWEST_FOR_OLD), None)
    if version is None:
        return [f"{OLD[0]} needs Python 3.{_NEWEST_FOR_OLD} or older, and there is none"]
    return _fetch(folder, OLD[0], [*OLD, "--python-version", version])


def _fetch_torch(folder: Path, here: Sequence[str]) -> Iterable[str]:
    missing = _fetch(folder, f"{TORCH} for the CPU", [TORCH, "--no-index", "--no-deps"])
    return missing or _fetch(folder, f"what {TORCH} needs", [*map(str, folder.glob(f"{TORCH}-*.whl")), *here])


def _fetch(folder: Path, what: str, asked: Sequence[str]) -> list[str]:
    told = "\n".join([sysconfig.get_platform(), sys.version, *asked])
    done = folder / f".fetched-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    if done.exists():
        return []
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--only-binary", ":all:", "--dest", str(folder), *asked]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        return [f"{what}: nothing came in {_LONGEST_S} s"]
    if ended.returncode:
        return [f"{what}: {(ended.stderr.strip().splitlines() or ['pip says nothing'])[-1]}"]
    done.touch()
    return []


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
