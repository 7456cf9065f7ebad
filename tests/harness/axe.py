"""axe-core, which finds what keeps people out of a page, if it is there: `npm install axe-core` brings it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def find_axe() -> Path | None:
    """Its one file: below the folder that TEST_AXE names, or where `make client` has its packages."""
    folders = [Path(named) for named in [os.environ.get("TEST_AXE", "")] if named] + [ROOT / ".client"]
    files = [folder / "node_modules" / "axe-core" / "axe.min.js" for folder in folders]
    return next((file for file in files if file.is_file()), None)
