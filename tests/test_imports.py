"""Libraries left out or put off in this process: what is told before they are there, and after."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from service.imports import left_out, put_off

NAME = "scipy.stats"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that nobody has imported: `sb_whole`, with a module `sb_whole.inner` below it."""
    inner = tmp_path / "sb_whole" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("answer = 42\n")
    (inner / "__init__.py").write_text("class Kind:\n    limit = 3\n\ndef double(n): return 2 * n\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("sb_whole", "sb_whole.inner", "sb_user"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "sb_whole"


def _user(folder: Path, code: str) -> None:
    (folder / "sb_user.py").write_text(code)


def test_what_was_taken_while_it_was_put_off_is_the_real_thing_once_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = import_module(NAME)
    monkeypatch.delitem(sys.modules, NAME)
    with put_off(NAME):
        stand_in = import_module(NAME)
        norm = stand_in.norm
        assert stand_in is not real
        assert norm is not real.norm
        assert not hasattr(norm, "__wrapped__")
        assert sys.modules[NAME] is stand_in  # to be inspected loads nothing
        monkeypatch.setitem(sys.modules, NAME, real)
    assert sys.modules[NAME] is real  # what was imported meanwhile stays
    assert norm.cdf(0.0) == 0.5
    assert norm(2.0).mean() == 2.0
    assert stand_in.norm is real.norm


def test_a_module_that_is_there_is_not_put_off() -> None:
    real = import_module(NAME)
    with put_off(NAME):
        assert sys.modules[NAME] is real
    assert sys.modules[NAME] is real


def test_what_is_below_a_library_is_put_off_with_it(tmp_path: Path, library: str) -> None:
    _user(
        tmp_path,
        "import sb_whole as whole\nimport sb_whole.inner\nfrom sb_whole import inner\n"
        "from sb_whole.inner import Kind, double\n",
    )
    with put_off(library):
        user = import_module("sb_user")
    assert not {"sb_whole", "sb_whole.inner"} & sys.modules.keys()
    assert user.double(4) == 8
    assert user.inner.Kind.limit == user.Kind.limit == 3
    assert user.whole.answer == 42
    assert isinstance(import_module("sb_whole.inner").Kind(), user.Kind)
    assert not isinstance(3, user.Kind)
    assert user.inner.Kind is import_module("sb_whole.inner").Kind


@pytest.mark.parametrize(
    ("use", "refusal"),
    [("double(2)", ImportError), ("Kind.limit", ImportError), ("type('Own', (Kind,), {})", TypeError)],
)
def test_who_does_more_than_take_names_meanwhile_is_told(
    tmp_path: Path, library: str, use: str, refusal: type[Exception]
) -> None:
    _user(tmp_path, f"from sb_whole.inner import Kind, double\nfound = {use}\n")
    with put_off(library), pytest.raises(refusal):
        import_module("sb_user")
    assert import_module("sb_user").found is not None


def test_a_library_that_is_left_out_counts_as_not_installed_until_then(library: str) -> None:
    with left_out(library), pytest.raises(ImportError):
        import_module(library)
    assert import_module(library).answer == 42


def test_a_library_that_is_there_is_not_left_out(library: str) -> None:
    whole = import_module(library)
    with left_out(library):
        assert import_module(library) is whole
    assert sys.modules[library] is whole
