"""The kernels are built where they can be, and what they do is done without them as well."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from service.native import kernels
from tests.harness.measured import python

_ROOT = Path(__file__).resolve().parent.parent.parent
_TRIED = (
    "tests/media/test_codec.py",
    "tests/hosting/programs/test_left_alone.py",
    "tests/hosting/programs/test_tables.py",
    "tests/hosting/programs/test_tree_tables.py",
    "tests/hosting/runtimes/test_lightgbm_files.py",
    "tests/hosting/runtimes/test_xgboost_files.py",
)
# What pip leaves out where there is no compiler cannot be imported either.
_WITHOUT = """
import sys

sys.modules["service.native._kernels"] = None
import pytest

sys.exit(pytest.main(["-q", "-p", "no:xdist", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_a_compiler_is_enough_for_the_kernels_to_be_here() -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    if not compiler or not headers.exists():
        pytest.skip("there is no C compiler, or Python's headers are not here")
    assert kernels is not None


@pytest.mark.skipif(kernels is None, reason="all tests run without them here")
def test_all_is_done_without_them_as_well(tmp_path: Path) -> None:
    program = tmp_path / "without.py"
    program.write_text(_WITHOUT)
    done = subprocess.run(
        [*python(), program, *_TRIED], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
