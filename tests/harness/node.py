"""Packages of npm that tests use where they are there: `make client` brings them."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find_package(name: str) -> Path | None:
    """The folder below which node finds a package: the one that TEST_CLIENT names, or .client/."""
    folder = Path(os.environ.get("TEST_CLIENT") or ROOT / ".client").resolve()
    there = shutil.which("node") is not None and (folder / "node_modules" / name / "package.json").is_file()
    return folder if there else None
