"""Which modules models are made of, as their files name them: found by a look, nothing is loaded.

A guess, to have what is needed there before processes are forked that would each import it for themselves.
What is not found so is imported with the model, as ever.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Final

from service.hosting.runtimes.finding import pickles_in

_MOST_BYTES: Final = 1 << 20  # of each file; names of modules stand near its beginning
_MOST_FOLDERS: Final = 500
_MOST_FILES: Final = 500  # of each folder
_MOST_NAMES: Final = 500  # each is tried to be imported
_OF_THE_KERNEL: Final = ("/proc/", "/sys/")  # what looks like a file there need not end
_MODULE: Final = re.compile(rb"sklearn(?:\.(?!tests|conftest)[a-z_0-9]{1,64}){1,6}")
# What is fitted on frames, or is asked by the names of columns, or knows words and gaps.
_OF_FRAMES: Final = ("sklearn.compose", "sklearn.impute", "sklearn.preprocessing._encoders")
_SCRIPTS: Final = ("inference.py", "code")


def modules_in(folder: Path) -> list[str]:
    """The modules that the models of a models folder name, or the one model that it is."""
    found: set[str] = set()
    for file in _files(folder):
        found.update(modules_of(file))
        if len(found) >= _MOST_NAMES:
            break
    return sorted(found)[:_MOST_NAMES]


def modules_of(file: Path) -> list[str]:
    """The modules of scikit-learn and pandas that the file of one model names."""
    with suppress(OSError):
        begin = _begin(file)
        named = {name.decode("ascii") for name in _MODULE.findall(begin)}
        if b"pandas" in begin or any(name.startswith(_OF_FRAMES) for name in named):
            named.add("pandas")
        return sorted(named)[:_MOST_NAMES]
    return []


def _begin(file: Path) -> bytes:
    """How a plain file begins; nothing of what is none and might never end. Raises OSError."""
    file = file.resolve()
    if not file.is_file() or str(file).startswith(_OF_THE_KERNEL):
        return b""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        # It may be another one since it was looked at.
        return opened.read(_MOST_BYTES) if S_ISREG(os.fstat(descriptor).st_mode) else b""


def _files(folder: Path) -> Iterator[Path]:
    """Pickles that no script loads, which would do so in a process of its own: those in folders first."""
    with suppress(OSError):
        inner = (each for each in folder.glob("[!.]*") if each.is_dir())
        for each in islice(inner, _MOST_FOLDERS):
            if not any((each / name).exists() for name in _SCRIPTS):
                yield from islice(pickles_in(each), _MOST_FILES)
        yield from islice(pickles_in(folder), _MOST_FILES)
