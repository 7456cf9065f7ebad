"""The house rules of exceptions, held to the code: where one may be defined, and who may catch all of them.

The table comes first and is the only thing to edit; CONTRIBUTING.md has the rules in words.
"""

import ast
import builtins
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.test_import_rule import Source, our_sources, read_sources

# Files below service/ that may catch whatever is raised -> why. To catch it, clean up and raise it again
# is allowed everywhere.
BROAD: Mapping[str, str] = MappingProxyType(
    {
        "faces/*": "a request's edge: every error becomes a reply and a line in the log",
        "http/exchange.py": "a connection's edge: whatever an application does, the server goes on",
        "http/fastpath.py": "an answer that cannot be sent as it is: its client hears of a bug",
        "invoke/predict.py": "the outcome of one call, worded and logged by the face that asked",
        "invoke/round.py": "the net under a round: every waiter gets an answer",
        "invoke/settling.py": "counting, the log and taps: none of them may keep an answer back",
        "invoke/shadow_calls.py": "a loop that must outlive one bad call",
        "invoke/follow.py": "a loop that must outlive one bad look",
        "invoke/warming.py": "the model's own code, told as the reason why an endpoint failed",
        "hosting/cache/*": "the model's own code, while it is loaded or compiled",
        "hosting/calls/*": "the outcome of one call among those that were joined",
        "hosting/programs/compiled.py": "a program that fails: the estimator goes on and answers for it",
        "hosting/programs/encoders.py": "the encoder itself, asked word by word",
        "hosting/runtimes/*": "the model's own code, which may raise whatever it likes",
        "hosting/footprint.py": "the model's own code, run by pickling",
        "control/cloudwatch/evaluation.py": "a loop that must outlive one bad alarm",
        "promise.py": "a step of an answer that fails: the next one is told, and in the end who waits",
        "jobs/worker.py": "a loop that must outlive one bad task",
        "jobs/inbox.py": "a loop that must outlive one bad look",
        "jobs/heartbeat.py": "a thread that tells of itself: without beats the lease runs out",
        "runner/*": "the model's own code, and the edges of the processes that run it",
        "processes/keeper.py": "a loop that must outlive one bad look",
        "processes/key_watch.py": "a loop that must outlive one bad look",
        "processes/outcome_clerk.py": "the edge of a request that was handed in",
        "processes/report_keeping.py": "the edge of a report: those that came together with it are kept",
        "processes/supervisor.py": "a child process: nothing may return into the parent's code",
    }
)

_ALL = frozenset({"Exception", "BaseException"})


def _name(node: ast.expr | None) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def broad_handlers(source: Source) -> Iterator[int]:
    """The lines that catch whatever is raised, and do not raise it again in the end."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        last = node.body[-1]
        raises = isinstance(last, ast.Raise) and last.exc is None
        if not raises and any(one is None or _name(one) in _ALL for one in caught):
            yield node.lineno


def stray_exceptions(sources: tuple[Source, ...]) -> Iterator[str]:
    """Exceptions that another room than their own imports, and that are not in errors.py."""
    known = {name for name, value in vars(builtins).items() if _is_exception(value)}
    found: dict[tuple[str, str], Source] = {}
    for _ in range(4):  # the depth of the tree
        for source in sources:
            for node in ast.walk(source.tree):
                if isinstance(node, ast.ClassDef) and known & {_name(base) for base in node.bases}:
                    known.add(node.name)
                    found[source.module, node.name] = source
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    home = found.get((node.module or "", alias.name))
                    if home is not None and home.room not in ("errors", source.room):
                        yield f"{source.path}:{node.lineno}: {alias.name} of {home.path} belongs in errors.py"


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def test_only_the_edges_catch_whatever_is_raised() -> None:
    strays = [
        f"{source.path}:{line}: catches everything, and is not in BROAD"
        for source in our_sources()
        for line in broad_handlers(source)
        if not any(fnmatch(source.path, pattern) for pattern in BROAD)
    ]

    assert not strays, "\n" + "\n".join(strays)


def test_every_edge_of_the_table_is_one() -> None:
    edges = [source.path for source in our_sources() if any(broad_handlers(source))]

    assert [pattern for pattern in BROAD if not any(fnmatch(path, pattern) for path in edges)] == []


def test_exceptions_that_leave_their_room_are_in_the_one_tree() -> None:
    strays = list(stray_exceptions(our_sources()))

    assert not strays, "\n" + "\n".join(strays)


@pytest.mark.parametrize(
    ("handler", "lines"),
    [
        ("except Exception:\n    pass", [3]),
        ("except (OSError, BaseException) as error:\n    print(error)", [3]),
        ("except:\n    pass", [3]),
        ("except BaseException:\n    print()\n    raise", []),
        ("except BaseException as error:\n    raise error from None", [3]),
        ("except OSError:\n    pass", []),
    ],
)
def test_a_handler_of_everything_is_found(tmp_path: Path, handler: str, lines: list[int]) -> None:
    (tmp_path / "a.py").write_text(f"try:\n    print()\n{handler}\n")

    (source,) = read_sources(tmp_path)

    assert list(broad_handlers(source)) == lines


def test_an_exception_that_another_room_imports_is_found(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "faces").mkdir()
    (tmp_path / "wire" / "a.py").write_text(
        "class Odd(ValueError): ...\nclass Odder(Odd): ...\nclass C: ...\n"
    )
    (tmp_path / "wire" / "b.py").write_text("from service.wire.a import Odder\n")
    (tmp_path / "faces" / "c.py").write_text("from service.wire.a import C, Odder\n")

    strays = list(stray_exceptions(read_sources(tmp_path)))

    assert strays == ["faces/c.py:1: Odder of wire/a.py belongs in errors.py"]
