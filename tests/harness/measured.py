"""How tests start Python where the coverage of what they start counts as well; see the Makefile."""

import sys
from pathlib import Path

_SETTINGS = Path(__file__).with_name("coverage.ini")


def python() -> list[str]:
    """The command, for processes that run in the root of the checkout: under coverage if this process is."""
    measured = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current() is not None
    return [sys.executable, *(["-m", "coverage", "run", f"--rcfile={_SETTINGS}"] if measured else [])]
