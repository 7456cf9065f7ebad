"""Which modules models are made of, as their files name them: found by a look, nothing is loaded.

A guess, to have what is needed there before processes are forked that would each import it for themselves.
What is not found so is imported with the model, as ever.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from service.hosting.runtimes.finding import pickles_in

_MOST_BYTES: Final = 1 << 20  # of each file; names of modules stand near its beginning
_MOST_FOLDERS: Final = 500
_MODULE: Final = re.compile(rb"sklearn(?:\.(?!tests|conftest)[a-z_0-9]{1,64}){1,6}")
# What is fitted on frames, or is asked by the names of columns, or knows words and gaps.
_OF_FRAMES: Final = ("sklearn.compose", "sklearn.impute", "sklearn.preprocessing._encoders")
_SCRIPTS: Final = ("inference.py", "code")


def modules_in(folder: Path) -> list[str]:
    """The modules that the models of a models folder name, or the one model that it is."""
    found: set[str] = set()
    for file in _files(folder):
        found.update(modules_of(file))
    return sorted(found)


def modules_of(file: Path) -> list[str]:
    """The modules of scikit-learn and pandas that the file of one model names."""
    with suppress(OSError), file.open("rb") as opened:
        begin = opened.read(_MOST_BYTES)
        named = {name.decode("ascii") for name in _MODULE.findall(begin)}
        if b"pandas" in begin or any(name.startswith(_OF_FRAMES) for name in named):
            named.add("pandas")
        return sorted(named)
    return []


def _files(folder: Path) -> Iterator[Path]:
    """Pickles that no script loads, which would do so in a process of its own."""
    with suppress(OSError):
        yield from pickles_in(folder)
        for inner in islice(folder.glob("[!.]*"), _MOST_FOLDERS):
            if inner.is_dir() and not any((inner / name).exists() for name in _SCRIPTS):
                yield from pickles_in(inner)
