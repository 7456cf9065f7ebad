"""The house rules, held to the code: who may import whom and what, and how big things may grow.

The tables come first and are the only thing to edit; service/README.md shows rooms and layers to people.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

import pytest

# Layers from the bottom up; a layer's shelves likewise. A room imports itself and what stands below it, never
# sideways. Rooms within a room have shelves of its layer, and are named with it.
LAYERS = (
    (
        (
            "errors",
            "floods",
            "imports",
            "machine",
            "native",
            "origins",
            "pieces",
            "promise",
            "rates",
            "runner",
        ),
        ("object_settings", "setting_kinds"),
        ("arn", "clock", "log", "s3uri", "settings", "whereabouts"),
    ),
    (("media", "http", "experiments"), ("wire", "domain"), ("wire.protocols",), ("wire.services",)),
    (("objects", "store", "observe", "load", "access"),),
    (
        ("hosting",),
        ("hosting.footprint", "hosting.memory", "hosting.stopwatch"),
        ("hosting.sharing",),
        ("hosting.programs",),
        ("hosting.joinable",),
        ("hosting.host",),
        ("hosting.artifacts",),
        ("hosting.environments", "hosting.engines"),
        ("hosting.containers",),
        ("hosting.runtimes",),
        ("hosting.cache",),
        ("hosting.calls",),
        ("hosting.artifact_loads",),
        ("hosting.inline",),
    ),
    (("control", "invoke", "jobs"),),
    (
        ("faces",),
        ("faces.aws", "faces.container", "faces.people"),
        ("faces.front_door",),
        ("faces.container_door", "faces.server_pages"),
        ("faces.assembly",),
    ),
    (("processes",),),
    (("compose",),),
    (("cli",),),
)

# Third-party package -> the files below service/ that may import it; one that is not here is not used at all.
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # what the scripts of frameworks share; they are run, each with its folder on the path
        "_sagebird_frameworks": ("runner/frameworks/*",),
        "_sagebird_mlflow": ("runner/frameworks/serve_mlflow.py",),
        "_sagebird_recordio": ("runner/frameworks/serve_xgboost.py",),
        "_sagebird_runner": ("runner/frameworks/_sagebird_frameworks.py",),
        "_sagebird_standins": ("runner/standins/*",),  # likewise of the stand-ins
        "alembic": ("store/migrate.py", "store/migrations/*"),
        "botocore": ("wire/spec.py", "load/aws.py", "objects/s3/client.py"),
        "fastapi": ("faces/people/*", "faces/container/*"),
        "flask": ("runner/standins/*",),  # where a model's environment has it
        "httptools": ("load/connection.py", "hosting/containers/web_line.py"),
        "httpx": (
            "cli/*",
            "faces/aws/s3_answers.py",
            "faces/aws/s3_front.py",
            "hosting/containers/image_container.py",
            "hosting/engines/engine.py",
            "hosting/runtimes/remote.py",
        ),
        "jinja2": ("faces/people/dashboard/render.py",),
        "joblib": ("hosting/runtimes/*", "cli/demo_models.py"),
        "msgspec": ("domain/*",),
        "numpy": ("hosting/*", "media/*", "objects/buckets/crc.py", "runner/*"),
        "orjson": (
            "wire/*",
            "store/*",
            "hosting/*",
            "observe/*",
            "control/*",
            "invoke/*",
            "jobs/*",
            "faces/*",
            "media/*",
        ),
        "packaging": ("hosting/artifacts/*", "hosting/environments/*"),
        "pandas": ("hosting/runtimes/*", "runner/frameworks/_sagebird_mlflow.py"),
        "prometheus_client": ("observe/*",),
        "psutil": ("machine.py", "hosting/*", "observe/*"),
        "pydantic": ("settings.py", "setting_kinds.py", "object_settings.py"),
        "pydantic_settings": ("settings.py", "setting_kinds.py", "object_settings.py"),
        "rich": ("cli/*",),
        "scipy": ("hosting/programs/*", "hosting/runtimes/*", "runner/frameworks/serve_xgboost.py"),
        "simdjson": ("media/csv_quick.py", "hosting/runtimes/number_json.py"),
        "sklearn": ("hosting/programs/*", "hosting/runtimes/*", "cli/demo_models.py"),
        "sqlalchemy": ("store/*",),
        "starlette": ("faces/*",),
        "structlog": ("log.py",),
        "threadpoolctl": ("hosting/programs/threads.py",),
        "typer": ("cli/*",),
        "uvicorn": ("http/*",),
        "uvloop": ("processes/gateway.py", "load/worker.py"),
        "yaml": ("control/declar*.py",),
    }
)

# (file, module of ours) that a function may import late; anything else is imported at the top of its file.
DEFERRED = (
    (
        "cli/roles.py",
        "service.compose",
    ),  # commands that only talk to a server never pay for the server's imports
    (
        "cli/shipment.py",
        "service.hosting.runtimes.table",
    ),  # of the commands that talk to a server one alone needs it, for a folder
    (
        "cli/demo.py",
        "service.cli.demo_models",
    ),  # no other command, and no help, pays for scikit-learn
    (
        "hosting/runtimes/table.py",
        "service.hosting.runtimes",
    ),  # numeric libraries: the first model pays, not the start
)

# What implements a seam -> the files below service/ that may name it; all others know the Protocol alone.
IMPLEMENTERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "service.objects.folders": ("objects/resolver.py",),
        "service.objects.s3.bucket": ("objects/resolver.py",),
    }
)

# Rooms that are programs of their own, for other interpreters too -> what of them is a library for others.
# They find their own files by relative imports, under whatever name they run.
PROGRAMS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "runner": {
            "service.runner.describing": ("hosting/runtimes/*",),
            "service.runner.faults": ("hosting/runtimes/*",),
        }
    }
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_MODULES = 25

SERVICE = Path(__file__).resolve().parents[1] / "service"
_MUTABLE_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MUTABLE_CALLS = frozenset(
    {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}
)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: its full dotted name, its line, and whether a function body imports it."""

    module: str
    line: int
    late: bool


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file of the package that is checked."""

    path: str  # below the package's folder, with slashes
    text: str
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def module(self) -> str:
        parts = ["service", *self.path.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def room(self) -> str:
        return room_of(self.module)


def room_of(module: str) -> str:
    """Return the room of a module of ours: `service.wire.spec` -> `wire`; the package itself has none.

    A room within a room has a name of both: `service.hosting.cache.entry` -> `hosting.cache`.
    """
    parts = module.split(".")[1:3]
    inner = ".".join(parts)
    return inner if inner in _heights() else parts[0] if parts else ""


def read_sources(folder: Path) -> tuple[Source, ...]:
    """Parse every Python file below `folder`."""
    files = sorted(file for file in folder.rglob("*.py") if "__pycache__" not in file.parts)
    modules = {
        ".".join(["service", *file.relative_to(folder).with_suffix("").parts]).removesuffix(".__init__")
        for file in files
    }
    return tuple(_read_source(folder, file, modules) for file in files)


@cache
def our_sources() -> tuple[Source, ...]:
    """Every file below service/, parsed once for all rules."""
    return read_sources(SERVICE)


def _read_source(folder: Path, file: Path, modules: set[str]) -> Source:
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports = tuple(_imports(tree, modules, late=False))
    return Source(file.relative_to(folder).as_posix(), text, tree, imports)


def _imports(node: ast.AST, modules: set[str], *, late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            package = "." * child.level + (child.module or "")
            for alias in (
                child.names
            ):  # `from service.wire import shapes` names a module, `import Shape` a thing in one
                full = f"{package}.{alias.name}"
                yield Import(full if full in modules else package, child.lineno, late)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, modules, late=late or inside)


def _heights() -> dict[str, tuple[int, int]]:
    return {
        room: (layer, shelf)
        for layer, shelves in enumerate(LAYERS)
        for shelf, rooms in enumerate(shelves)
        for room in rooms
    }


def _is_ours(module: str) -> bool:
    return module == "service" or module.startswith("service.")


def check_layers(source: Source) -> Iterator[str]:
    """Arrows between rooms point down."""
    heights = _heights()
    if not source.room:
        return
    if source.room not in heights:
        yield f"{source.path}: room {source.room} has no layer; give it one in LAYERS and service/README.md"
        return
    for each in source.imports:
        room = room_of(each.module)
        if not _is_ours(each.module) or room in ("", source.room):
            continue
        if room not in heights or heights[room] >= heights[source.room]:
            yield f"{source.path}:{each.line}: {source.room} may not import {each.module}: it is not below it"


def check_packages(source: Source) -> Iterator[str]:
    """Each library is imported by as few files as possible."""
    for each in source.imports:
        package = each.module.split(".")[0]
        if each.module.startswith("."):
            if source.room in PROGRAMS and _level(each.module) <= source.path.count("/"):
                continue
            yield f"{source.path}:{each.line}: relative import; write the full name"
            continue
        if _is_ours(each.module) or package in sys.stdlib_module_names:
            continue
        allowed = PACKAGES.get(package, ())
        if not any(fnmatch(source.path, pattern) for pattern in allowed):
            files = ", ".join(allowed) or "no file"
            yield f"{source.path}:{each.line}: {package} may be imported by {files} (see PACKAGES)"


def _level(module: str) -> int:
    return len(module) - len(module.lstrip("."))


def check_programs(source: Source) -> Iterator[str]:
    """What is a program of its own is started, not imported, but for what it lends."""
    for each in source.imports:
        room = room_of(each.module) if _is_ours(each.module) else ""
        if room not in PROGRAMS or room == source.room:
            continue
        allowed = PROGRAMS[room].get(each.module, ())
        if not any(fnmatch(source.path, pattern) for pattern in allowed):
            yield f"{source.path}:{each.line}: {each.module} is part of a program of its own (see PROGRAMS)"


def check_implementers(source: Source) -> Iterator[str]:
    """Who works with a seam names nothing that implements it."""
    for each in source.imports:
        allowed = IMPLEMENTERS.get(each.module, (source.path,))
        if source.path not in allowed:
            yield f"{source.path}:{each.line}: {each.module} may be imported by {', '.join(allowed)} alone"


def check_late_imports(source: Source) -> Iterator[str]:
    """What a file needs of ours stands at its top."""
    for each in source.imports:
        if (
            each.late
            and _is_ours(each.module)
            and not any(_covers(entry, source, each) for entry in DEFERRED)
        ):
            yield f"{source.path}:{each.line}: {each.module} is imported inside a function (see DEFERRED)"


def _covers(deferred: tuple[str, str], source: Source, late: Import) -> bool:
    path, module = deferred
    return source.path == path and (late.module + ".").startswith(module + ".")


def check_state(source: Source) -> Iterator[str]:
    """No module keeps state: nothing mutable under a variable's name, no `global`."""
    for node in source.tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is None or not _is_mutable(value):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]  # narrowed through value
        for name in (target.id for target in targets if isinstance(target, ast.Name)):
            if name != name.upper() and not name.startswith("__"):
                yield f"{source.path}:{node.lineno}: {name} is mutable state of a module"
    for inner in ast.walk(source.tree):
        if isinstance(inner, ast.Global):
            yield f"{source.path}:{inner.lineno}: global {inner.names[0]} is mutable state of a module"


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return name in _MUTABLE_CALLS
    return isinstance(value, _MUTABLE_DISPLAYS)


def check_size(source: Source) -> Iterator[str]:
    """Files and functions stay small enough to be read in one go."""
    lines = len(source.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{source.path}: {lines} lines, more than {MAX_FILE_LINES}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                where = f"{source.path}:{node.lineno}"
                yield f"{where}: {node.name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def check_fan_out(source: Source) -> Iterator[str]:
    """No file has to know everything: what needs many parts is handed some of them joined."""
    modules = {each.module for each in source.imports if _is_ours(each.module)}
    if len(modules) > MAX_MODULES:
        yield f"{source.path}: imports {len(modules)} modules of ours, more than {MAX_MODULES}"


CHECKS: tuple[Callable[[Source], Iterator[str]], ...] = (
    check_layers,
    check_packages,
    check_programs,
    check_implementers,
    check_late_imports,
    check_state,
    check_size,
    check_fan_out,
)


def find_cycle(sources: tuple[Source, ...]) -> list[str]:
    """Return the modules of one import cycle, or nothing."""
    known = {source.module for source in sources}
    graph = {
        source.module: {
            each.module for each in source.imports if each.module in known - {source.module} and not each.late
        }
        for source in sources
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(module) for module in error.args[1]]
    return []


def rooms() -> set[str]:
    """Return the rooms that exist below service/."""
    return {source.room for source in our_sources()} - {""}


def rooms_in_table(page: str) -> dict[str, str]:
    """Read the table `| room | layer | … |`: the first column's names and what the second says of them."""
    rooms: dict[str, str] = {}
    in_table = False
    for line in page.splitlines():
        cells = [cell.strip(" `*") for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            in_table = False
        elif [cell.lower() for cell in cells[:2]] == ["room", "layer"]:
            in_table = True
        elif in_table and not re.fullmatch(r":?-+:?", cells[0]):
            rooms[re.sub(r"\[(.*?)\].*", r"\1", cells[0]).strip("`/").removesuffix(".py")] = cells[1]
    return rooms


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_code_keeps_the_house_rules(check: Callable[[Source], Iterator[str]]) -> None:
    violations = [violation for source in our_sources() for violation in check(source)]

    assert not violations, "\n" + "\n".join(violations)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert find_cycle(our_sources()) == []


def test_every_folder_on_the_way_to_a_file_is_a_package() -> None:
    """What is none is left out where sagebird is installed."""
    folders = {SERVICE / parent for source in our_sources() for parent in Path(source.path).parents}

    assert sorted(str(folder) for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_the_map_names_the_rooms_that_exist_and_their_layers() -> None:
    page = SERVICE / "README.md"
    assert page.is_file(), "service/README.md is missing: it is the map of the rooms"

    table = rooms_in_table(page.read_text(encoding="utf-8"))

    assert set(table) == rooms(), "the table of service/README.md and the rooms below service/ differ"
    layers = {room: str(layer) for room, (layer, _) in _heights().items() if room in table}
    assert table == layers, "the layers of service/README.md and of LAYERS differ"


def test_every_exception_from_the_rules_is_in_use() -> None:
    late = [(source, each) for source in our_sources() for each in source.imports if each.late]

    unused = [entry for entry in DEFERRED if not any(_covers(entry, *each) for each in late)]

    assert unused == []


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("wire/a.py", "import service.hosting", "wire may not import service.hosting"),
        ("wire/a.py", "from service import domain", "wire may not import service.domain"),
        ("wire/a.py", "from service.domain.kinds import Kind", "wire may not import service.domain"),
        (
            "faces/aws/a.py",
            "def f():\n    from service.faces.container import app",
            "faces.aws may not import service.faces.container",
        ),
        ("attic/a.py", "", "room attic has no layer"),
        ("attic.py", "", "room attic has no layer"),
        ("settings.py", "import service.clock", "settings may not import service.clock"),
        ("faces/a.py", "import botocore.loaders", "botocore may be imported by wire/spec.py"),
        ("hosting/cache/a.py", "import pandas as pd", "pandas may be imported by hosting/runtimes/*"),
        ("hosting/cache/a.py", "import service.hosting.calls.replica", "hosting.cache may not import"),
        ("hosting/a.py", "import service.hosting.cache", "hosting may not import service.hosting.cache"),
        ("store/a.py", "import requests", "requests may be imported by no file"),
        ("store/a.py", "from . import b", "relative import"),
        ("runner/a.py", "from ..errors import SagebirdError", "relative import"),
        ("runner/a.py", "import service.errors", "runner may not import service.errors"),
        ("runner/a.py", "import orjson", "orjson may be imported by"),
        ("hosting/runtimes/a.py", "import service.runner.loading", "is part of a program of its own"),
        ("hosting/cache/a.py", "import service.runner.describing", "is part of a program of its own"),
        ("faces/a.py", "def f():\n    import service.errors", "service.errors is imported inside a function"),
        ("jobs/a.py", "import service.objects.folders", "may be imported by objects/resolver.py alone"),
        ("clock.py", "cache = {}", "cache is mutable state"),
        ("clock.py", "_seen: set[str] = set()", "_seen is mutable state"),
        ("clock.py", "def f():\n    global now\n    now = 1", "global now is mutable state"),
        ("clock.py", "\n" * 401, "401 lines"),
        ("clock.py", "def f():\n" + "    ...\n" * 50, "f has 51 lines"),
        (
            "compose.py",
            "\n".join(f"import service.wire.a{number}" for number in range(26)),
            "imports 26 modules of ours, more than 25",
        ),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, path: str, text: str, complaint: str) -> None:
    sources = _house(tmp_path, {"domain/__init__.py": "", path: text})
    (source,) = (source for source in sources if source.path == path)

    violations = [violation for check in CHECKS for violation in check(source)]

    assert any(complaint in violation for violation in violations), violations


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wire/a.py", "import json\nfrom service.errors import SagebirdError\nfrom service.wire import b"),
        ("settings.py", "import pydantic\nfrom service.errors import StartupError"),
        (
            "cli/roles.py",
            "import typer\nfrom service.processes.supervisor import Role\n"
            "def f():\n    from service import compose",
        ),
        ("runner/a.py", "import json\nfrom .b import B\nimport numpy"),
        ("runner/standins/a/b.py", "from ..c import C"),
        ("hosting/runtimes/a.py", "from service.runner.describing import describe"),
        ("cli/calls.py", "import rich.table\nfrom service.cli import refusal"),
        ("compose.py", "from service.http.server import Server\nfrom service import __version__"),
        (
            "compose.py",
            "\n".join(f"from service.wire.a{number % 25} import B{number}" for number in range(50)),
        ),
        ("clock.py", "ZONES = {}\n__all__ = []\nnames = ('a',)\ndef f():\n    found = []"),
    ],
)
def test_what_the_rules_allow_is_not_complained_about(tmp_path: Path, path: str, text: str) -> None:
    sources = _house(tmp_path, {"compose.py": "", path: text})
    (source,) = (source for source in sources if source.path == path)

    assert [violation for check in CHECKS for violation in check(source)] == []


def test_a_circle_of_imports_is_found_and_a_late_import_breaks_it(tmp_path: Path) -> None:
    circle = {"wire/a.py": "from service.wire.b import B", "wire/b.py": "from service.wire import a"}
    broken = {**circle, "wire/b.py": "def f():\n    from service.wire import a"}

    assert set(find_cycle(_house(tmp_path / "circle", circle))) == {"service.wire.a", "service.wire.b"}
    assert find_cycle(_house(tmp_path / "broken", broken)) == []


def test_the_table_of_rooms_is_read_from_its_page() -> None:
    page = (
        "# Map\n\n| other | layer |\n|---|---|\n| x | 1 |\n\n| room | layer | what |\n| :-- | --- | --- |\n"
    )
    page += "| `wire/` | 1 | bytes |\n| [`cli.py`](cli.py) | 5 | people |\n\n| y | 2 |\n"

    assert rooms_in_table(page) == {"wire": "1", "cli": "5"}


def _house(folder: Path, files: Mapping[str, str]) -> tuple[Source, ...]:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return read_sources(folder)
