"""A model's own Python code: imported without one model seeing another's modules, and its errors worded.

How models share one process. The files beside a model's script are loaded under a name of that model alone
(`_sagebird_<32 hex digits>.preprocess`), so nothing of two models can clash, whatever thread loads what. The
import statements of these files are answered by an `__import__` of their own, at load and in later calls,
which finds the siblings first; what else they import is shared with the process and stays.

Pickles name a class by its plain module (`preprocess.Thing`) and look it up in `sys.modules`, which belongs
to everybody. While a model loads, such a name leads to an object that answers each loading thread with that
thread's own module and everybody else with what was there before. So no load ever waits for another one.
Plain names are gone when the load ends: code that unpickles its own classes in a later call, or in a thread
it starts while loading, must import them there. `sys.path` is never extended, and what a script adds to it of
its own folder is taken back.

No bytecode is read or written: model folders may be read-only, and stale bytecode must not win over a new
file.
Not in here: what the functions of a script are called with (handler).
"""

import builtins
import importlib
import os
import re
import shlex
import sys
import threading
import traceback
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

from service.errors import ModelFailure, ModelFault

_PREFIX = "_sagebird_"
_PRIVATE_NAME = re.compile(_PREFIX + r"[0-9a-f]{32}\.")
_SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES)
_LOCK = threading.Lock()  # guards the aliases in sys.modules and the entry in sys.meta_path
_TRACEBACK_CHARACTERS = 2000
# Packages that are installed by another name than they are imported by.
_DISTRIBUTIONS = MappingProxyType(
    {
        "Crypto": "pycryptodome",
        "PIL": "pillow",
        "attr": "attrs",
        "bs4": "beautifulsoup4",
        "cv2": "opencv-python-headless",
        "dateutil": "python-dateutil",
        "docx": "python-docx",
        "dotenv": "python-dotenv",
        "faiss": "faiss-cpu",
        "fitz": "pymupdf",
        "git": "gitpython",
        "imblearn": "imbalanced-learn",
        "jose": "python-jose",
        "jwt": "pyjwt",
        "magic": "python-magic",
        "psycopg2": "psycopg2-binary",
        "serial": "pyserial",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
        "umap": "umap-learn",
        "yaml": "pyyaml",
    }
)
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


class UserCode:
    """The Python files of one model; alive as long as this object is."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(str(folder) for folder in folders)
        self._root = _PREFIX + uuid.uuid4().hex
        names = sorted({name for folder in self._folders for name in _module_names(folder)})
        self._plain_names = tuple(name for name in names if _head(name) not in sys.stdlib_module_names)
        root = ModuleType(self._root)
        root.__path__ = list(self._folders)
        root.__dict__["__builtins__"] = _builtins(self._root, frozenset(map(_head, names)))
        with _LOCK:
            if _Finder not in sys.meta_path:
                sys.meta_path.insert(0, _Finder)
        sys.modules[self._root] = root
        weakref.finalize(self, _forget, self._root).atexit = False

    @property
    def imported(self) -> tuple[str, ...]:
        """Plain names of the model's own modules that were imported so far."""
        return tuple(
            name.removeprefix(self._root + ".")
            for name in list(sys.modules)
            if name.startswith(self._root + ".")
        )

    def run(self, script: Path) -> ModuleType:
        """Import the script. Raises ModelFault."""
        try:
            return importlib.import_module(f"{self._root}.{script.stem}")
        except BaseException as error:  # edge: user code may raise whatever it likes
            raise code_fault(error, script.name) from error

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let this thread find the model's modules by their plain names, as unpickling does."""
        aliases = self._lend_names()
        try:
            yield
        finally:
            _take_back_names(aliases)
            self._forget_own_paths()

    def _lend_names(self) -> "list[_Alias]":
        with _LOCK:
            aliases = [_alias(name) for name in self._plain_names]
            for alias in aliases:
                alias.owners[threading.get_ident()] = self._root
        return aliases

    def _forget_own_paths(self) -> None:
        own = [path for path in sys.path if self._is_own(path)]
        for path in own:
            sys.path.remove(path)
        if own:
            for name, module in list(sys.modules.items()):
                if not name.startswith(_PREFIX) and self._is_own(module.__dict__.get("__file__")):
                    del sys.modules[name]

    def _is_own(self, path: object) -> bool:
        return isinstance(path, str) and any(
            os.path.join(path, "").startswith(os.path.join(folder, "")) for folder in self._folders
        )


class _Loader(SourceFileLoader):
    """Runs a source file with the model's own `__import__`, and leaves bytecode alone."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = sys.modules[_head(module.__name__)].__dict__["__builtins__"]
        super().exec_module(module)


class _Finder:
    """Finds modules below a model's private root; the parent's `__path__` tells all, so it keeps nothing."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, or None if it is none of ours."""
        if not fullname.startswith(_PREFIX):
            return None
        loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Loader, SOURCE_SUFFIXES)
        specs = (FileFinder(folder, *loaders).find_spec(fullname) for folder in path or ())
        return next((spec for spec in specs if spec is not None), None)


class _Alias(ModuleType):
    """What a plain module name leads to while models load: for each loading thread its own model's module."""

    original: ModuleType | None
    owners: dict[int, str]

    def __init__(self, name: str, original: ModuleType | None) -> None:
        super().__init__(name)
        self.original = original
        self.owners = {}

    def __getattr__(self, attribute: str) -> Any:
        root = self.owners.get(threading.get_ident())
        if root is not None and attribute != "__path__":  # submodules have aliases of their own
            module = importlib.import_module(f"{root}.{self.__name__}")
            if hasattr(module, attribute):
                return getattr(module, attribute)
        if self.original is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}")
        return getattr(self.original, attribute)


def _alias(name: str) -> _Alias:
    module = sys.modules.get(name)
    if not isinstance(module, _Alias):
        module = sys.modules[name] = _Alias(name, module)
    return module


def _take_back_names(aliases: Iterable[_Alias]) -> None:
    with _LOCK:
        for alias in aliases:
            alias.owners.pop(threading.get_ident(), None)
            if alias.owners or sys.modules.get(alias.__name__) is not alias:
                continue
            del sys.modules[alias.__name__]
            if alias.original is not None:
                sys.modules[alias.__name__] = alias.original


def _forget(root: str) -> None:
    for name in list(sys.modules):
        if _head(name) == root:
            sys.modules.pop(name, None)


def _head(name: str) -> str:
    return name.partition(".")[0]


def _builtins(root: str, siblings: frozenset[str]) -> dict[str, Any]:
    def import_sibling_first(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level or _head(name) not in siblings:
            return builtins.__import__(name, globals, locals, fromlist, level)
        if fromlist:
            return builtins.__import__(f"{root}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{root}.{name}")
        return sys.modules[f"{root}.{_head(name)}"]

    return {**vars(builtins), "__import__": import_sibling_first}


def _module_names(folder: str) -> Iterator[str]:
    """Dotted names of all modules below the folder."""
    for place, folders, files in os.walk(folder):
        parts = Path(place).relative_to(folder).parts
        found = {name for file in files for name in [_module_name(file)] if name is not None}
        if parts and not found:
            folders.clear()
            continue
        if len(parts) == 1 and "__init__" not in found and PathFinder.find_spec(parts[0]) is not None:
            folders.clear()  # as in Python, an installed module wins over a folder without __init__.py
            continue
        folders[:] = [name for name in folders if name.isidentifier() and name != "__pycache__"]
        if parts:
            yield ".".join(parts)
        yield from (".".join((*parts, name)) for name in found - {"__init__"})


def _module_name(file: str) -> str | None:
    suffix = next((suffix for suffix in _SUFFIXES if file.endswith(suffix)), None)
    name = file.removesuffix(suffix) if suffix is not None else ""
    return name if name.isidentifier() else None


def holds_modules(folder: Path) -> bool:
    """Whether Python files or packages lie at the top of a folder."""
    return any(True for pattern in ("*.py", "*/__init__.py") for _ in folder.glob(pattern))


def plain(text: str) -> str:
    """The text with the model's own modules called as its author calls them."""
    return _PRIVATE_NAME.sub("", text)


def code_fault(error: BaseException, where: str = "the model") -> ModelFault:
    """What a request is answered when the model's own code raised.

    A fault stays what it is; an exception with a `status_code` from 400 to 599 keeps that status and its
    message; a missing module is named with the fix; anything else is a ModelFailure with AWS's body, the
    message and then the traceback (without frames of this server). Source: inference toolkit, transformer.py.
    """
    if isinstance(error, ModelFault):
        return error
    report = traceback.TracebackException.from_exception(error)
    message = _message(error, report)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status <= 599:
        return ModelFault(message, status)
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        message = missing_module(where, plain(error.name))
    return ModelFailure(f"{message}\n{_own_frames(report)}")


def missing_module(where: str, name: str) -> str:
    """The sentence for a module that a model needs and that is not here, with what installs it."""
    package = _head(name)
    needs = f"{where} needs the Python module {name!r}"
    if package != name and PathFinder.find_spec(package) is not None:
        return f"{needs}, which the installed {package} lacks: install a version that has it"
    wanted = _DISTRIBUTIONS.get(package, package.replace("_", "-"))
    command = f"{shlex.quote(sys.executable)} -m pip install {wanted}"
    return f"{needs}, which is not here: put it into code/ if it is yours, or install it: {command}"


def _message(error: BaseException, report: traceback.TracebackException) -> str:
    if isinstance(error, SystemExit):
        return f"the model's code called sys.exit({error.code!r})"
    message = getattr(error, "message", None)
    text = plain(message if isinstance(message, str) else str(report))
    return text if text.strip() else type(error).__name__


def _own_frames(report: traceback.TracebackException) -> str:
    pending: list[traceback.TracebackException | None] = [report]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack[:] = [frame for frame in part.stack if _is_own_frame(frame.filename)]
        pending += [part.__cause__, part.__context__]
    text = plain("".join(report.format()))
    return text if len(text) <= _TRACEBACK_CHARACTERS else "...\n" + text[-_TRACEBACK_CHARACTERS:]


def _is_own_frame(filename: str) -> bool:
    return not filename.startswith((_OWN_FOLDER, importlib.__file__, "<frozen importlib"))
