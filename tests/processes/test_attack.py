"""An attacker's script against a server of its own: nothing leaves and nothing runs."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.family


def test_nothing_gets_through_by_files() -> None:
    command = [sys.executable, "tests/attack/files.py", "--seconds", "0.5"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "kept out     the server goes on" in ended.stdout
