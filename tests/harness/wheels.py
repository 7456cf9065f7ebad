"""Small pure wheels, written in place, so that tests install without an index."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

BASE = ("scikit-learn", "numpy", "scipy", "pandas", "joblib")


def write_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str] | None = None, needs: Sequence[str] = ()
) -> None:
    """A wheel of these files for any Python."""
    stem = f"{name.replace('-', '_')}-{version}"
    required = "".join(f"Requires-Dist: {each}\n" for each in needs)
    contents = {
        **(files or {}),
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in contents.items())
    record += f"{stem}.dist-info/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for path, text in {**contents, f"{stem}.dist-info/RECORD": record}.items():
            archive.writestr(path, text)


def write_base(folder: Path) -> None:
    """Stand-ins without any module for what each environment gets, in the versions that are here."""
    for name in BASE:
        write_wheel(folder, name, metadata.version(name))


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
