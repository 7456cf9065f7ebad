"""A model's own code in a shared process."""

import importlib
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from service.hosting.runtimes.user_code import UserCode, code_fault, missing_module, plain

from service.errors import BadPayload, ModelFailure, ModelFault


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def pickle_of(module: str, name: str) -> bytes:
    """An instance of a class that only the model knows, as a training script would have pickled it."""
    made = ModuleType(module)
    made.__dict__[name] = type(name, (), {"__module__": module})
    before = sys.modules.get(module)
    sys.modules[module] = made
    try:
        return pickle.dumps(made.__dict__[name]())
    finally:
        del sys.modules[module]
        if before is not None:
            sys.modules[module] = before


def raised(action: Callable[[], object]) -> Exception:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_script_finds_its_siblings(tmp_path: Path) -> None:
    write(
        tmp_path, inference="import preprocess\nfrom preprocess import SCALE\nfound = preprocess.SCALE, SCALE"
    )
    write(tmp_path, preprocess="SCALE = 7")
    assert UserCode([tmp_path]).run(tmp_path / "inference.py").found == (7, 7)


def test_a_script_finds_packages_beside_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        inference="import lib.deep.leaf\nimport lib.other as other\n"
        "from lib import deep\nfrom bare import thing\n"
        "found = lib.deep.leaf.NAME, other.NAME, deep.leaf.NAME, thing.NAME",
        lib__other="NAME = 'other'",
        lib__deep__leaf="from ..other import NAME as there\nNAME = 'leaf of ' + there",
        bare__thing="NAME = 'without __init__'",
    )
    for package in ("lib", "lib/deep"):
        (tmp_path / package / "__init__.py").write_text("")
    found = UserCode([tmp_path]).run(tmp_path / "inference.py").found
    assert found == ("leaf of other", "other", "leaf of other", "without __init__")


def test_a_sibling_is_found_in_later_calls_too(tmp_path: Path) -> None:
    write(tmp_path, inference="def f():\n    import late\n    return late.X", late="X = 1")
    script = UserCode([tmp_path])
    module = script.run(tmp_path / "inference.py")
    assert module.f() == 1
    assert sorted(script.imported) == ["inference", "late"]


def test_a_sibling_wins_over_an_installed_module_only_for_its_own_model(tmp_path: Path) -> None:
    write(
        tmp_path, inference="import json, statistics\nfound = json.X, statistics.mean([1, 3])", json="X = 1"
    )
    import json

    code = UserCode([tmp_path])
    with code.importable():
        assert code.run(tmp_path / "inference.py").found == (1, 2)
        assert importlib.import_module("json") is json


def test_a_folder_of_data_hides_no_installed_package(tmp_path: Path) -> None:
    write(tmp_path, inference="import numpy\nfound = numpy.__name__", numpy__notes="X = 1")
    (tmp_path / "empty").mkdir()
    assert UserCode([tmp_path]).run(tmp_path / "inference.py").found == "numpy"


def test_sys_modules_and_sys_path_are_as_before(tmp_path: Path) -> None:
    write(tmp_path, inference="import preprocess", preprocess="X = 1")
    path, modules = list(sys.path), set(sys.modules)
    code = UserCode([tmp_path])
    with code.importable():
        code.run(tmp_path / "inference.py")
        assert importlib.import_module("preprocess").X == 1
    assert sys.path == path
    assert {plain(name) for name in set(sys.modules) - modules} >= {"preprocess", "inference"}
    assert "preprocess" not in sys.modules
    del code
    assert set(sys.modules) == modules


def test_what_a_script_adds_to_sys_path_is_taken_back(tmp_path: Path) -> None:
    write(
        tmp_path,
        inference="import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'vendored'))\n"
        "import sagebird_test_vendored\nfound = sagebird_test_vendored.X",
        vendored__sagebird_test_vendored="X = 5",
    )
    path = list(sys.path)
    code = UserCode([tmp_path])
    with pytest.MonkeyPatch.context() as patch, code.importable():
        patch.setattr(sys, "dont_write_bytecode", True)
        assert code.run(tmp_path / "inference.py").found == 5
    assert sys.path == path
    assert "sagebird_test_vendored" not in sys.modules


def test_no_bytecode_is_written_or_read(tmp_path: Path) -> None:
    write(tmp_path, inference="import lib.part", lib__part="X = 1")
    UserCode([tmp_path]).run(tmp_path / "inference.py")
    assert list(tmp_path.rglob("__pycache__")) == []


def test_classes_are_unpickled_by_their_plain_module_name(tmp_path: Path) -> None:
    write(tmp_path, preprocess="class Thing:\n    mark = 'own'", lib__part="class Leaf:\n    pass")
    code = UserCode([tmp_path])
    with code.importable():
        thing = pickle.loads(pickle_of("preprocess", "Thing"))
    assert thing.mark == "own"
    assert code.imported == ("preprocess",)


def test_a_class_of_a_submodule_is_unpickled(tmp_path: Path) -> None:
    write(tmp_path, lib__part="class Leaf:\n    mark = 'leaf'")
    with UserCode([tmp_path]).importable():
        module = importlib.import_module("lib.part")
        assert module.Leaf.mark == "leaf"
        assert not hasattr(importlib.import_module("lib"), "__path__")


def test_a_name_that_the_sibling_lacks_is_looked_up_in_the_installed_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = ModuleType("sagebird_test_installed")
    installed.__dict__["Y"] = 2
    monkeypatch.setitem(sys.modules, "sagebird_test_installed", installed)
    write(tmp_path, sagebird_test_installed="X = 1")
    with UserCode([tmp_path]).importable():
        lent = importlib.import_module("sagebird_test_installed")
        assert (lent.X, lent.Y) == (1, 2)
        with ThreadPoolExecutor(1) as other:
            assert other.submit(lambda: lent.Y).result() == 2
            assert not other.submit(lambda: hasattr(lent, "X")).result()
    assert sys.modules["sagebird_test_installed"] is installed


def test_an_unknown_name_of_a_sibling_is_an_attribute_error(tmp_path: Path) -> None:
    write(tmp_path, preprocess="X = 1")
    with (
        UserCode([tmp_path]).importable(),
        pytest.raises(AttributeError, match="'preprocess' has no attribute 'Z'"),
    ):
        _ = importlib.import_module("preprocess").Z


def test_a_script_may_replace_what_was_lent(tmp_path: Path) -> None:
    write(tmp_path, preprocess="X = 1")
    mine = ModuleType("preprocess")
    with UserCode([tmp_path]).importable():
        sys.modules["preprocess"] = mine
    assert sys.modules.pop("preprocess") is mine


def test_two_models_load_clashing_siblings_at_once(tmp_path: Path) -> None:
    pickled = pickle_of("preprocess", "Thing")
    both_inside = threading.Barrier(2, timeout=10)

    def load(name: str) -> tuple[str, str]:
        folder = write(
            tmp_path / name,
            inference="import preprocess\nimport shared\nmark = preprocess.MARK + shared.MARK",
            preprocess=f"MARK = '{name}'\nclass Thing:\n    mark = MARK",
            shared="from preprocess import MARK",
        )
        code = UserCode([folder])
        with code.importable():
            both_inside.wait()  # neither waits for the other to finish
            module = code.run(folder / "inference.py")
            thing = pickle.loads(pickled)
            both_inside.wait()
        return module.mark, thing.mark

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(load, ["a", "b"])) == [("aa", "a"), ("bb", "b")]
    assert "preprocess" not in sys.modules


def test_a_slow_load_lets_others_pass(tmp_path: Path) -> None:
    write(tmp_path / "slow", preprocess="X = 'slow'")
    write(tmp_path / "fast", preprocess="X = 'fast'")
    with UserCode([tmp_path / "slow"]).importable(), ThreadPoolExecutor(1) as other:

        def load() -> str:
            with UserCode([tmp_path / "fast"]).importable():
                return str(importlib.import_module("preprocess").X)

        assert other.submit(load).result(timeout=10) == "fast"
        assert importlib.import_module("preprocess").X == "slow"


def test_an_error_in_the_script_is_told_with_its_own_frames(tmp_path: Path) -> None:
    write(
        tmp_path,
        inference="import preprocess\npreprocess.f()",
        preprocess="def f():\n    raise OSError('no disk')",
    )
    with pytest.raises(ModelFailure) as caught:
        UserCode([tmp_path]).run(tmp_path / "inference.py")
    message, _, trace = caught.value.message.partition("\n")
    assert message == "no disk"
    assert str(tmp_path / "preprocess.py") in trace
    assert "user_code.py" not in trace
    assert "importlib" not in trace


def test_a_missing_module_is_named_with_the_fix(tmp_path: Path) -> None:
    write(tmp_path, inference="import sagebird_test_nowhere")
    with pytest.raises(
        ModelFailure, match=r"^inference.py needs the Python module 'sagebird_test_nowhere', which"
    ):
        UserCode([tmp_path]).run(tmp_path / "inference.py")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("cv2", " -m pip install opencv-python-headless"),
        ("no_such_module", " -m pip install no-such-module"),
        ("numpy.nothing", "which the installed numpy lacks"),
    ],
)
def test_what_installs_a_missing_module_is_named(module: str, words: str) -> None:
    told = missing_module("model.pkl", module)
    assert words in told
    assert (sys.executable in told) == ("pip" in words)


def test_a_missing_part_of_an_own_package_is_named_plainly(tmp_path: Path) -> None:
    write(tmp_path, inference="import lib.absent", lib__part="X = 1")
    with pytest.raises(ModelFailure, match=r"'lib.absent'") as caught:
        UserCode([tmp_path]).run(tmp_path / "inference.py")
    assert "_sagebird_" not in caught.value.message


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("import sys; sys.exit(3)", r"the model's code called sys.exit\(3\)"),
        ("raise KeyboardInterrupt", "KeyboardInt"),
    ],
)
def test_a_script_cannot_end_the_server(tmp_path: Path, script: str, sentence: str) -> None:
    write(tmp_path, inference=script)
    with pytest.raises(ModelFailure, match=sentence):
        UserCode([tmp_path]).run(tmp_path / "inference.py")


def test_a_fault_stays_what_it_is() -> None:
    fault = BadPayload("row 1 is empty")
    assert code_fault(fault) is fault


@pytest.mark.parametrize(
    ("status", "kept"), [(400, 400), (503, 503), (599, 599), (399, 500), (600, 500), ("404", 500)]
)
def test_an_exception_with_a_status_keeps_it(status: object, kept: int) -> None:
    error = OSError("busy")
    error.__dict__["status_code"] = status
    fault = code_fault(error)
    assert (type(fault) is ModelFault) == (kept == status)
    assert fault.status == kept
    assert fault.message.partition("\n")[0] == "busy"


def test_the_message_of_the_toolkits_errors_is_used() -> None:
    error = OSError("(422, 'too long', 'Unprocessable')")
    error.__dict__.update(status_code=422, message="too long")
    assert (code_fault(error).message, code_fault(error).status) == ("too long", 422)


def test_an_error_without_a_message_is_called_by_its_type() -> None:
    assert code_fault(RuntimeError()).message.startswith("RuntimeError\n")


def test_a_long_traceback_keeps_its_end() -> None:
    trace = code_fault(raised(lambda: dict[str, int]()["x" * 9000])).message.partition("\n")[2]
    assert trace.startswith("...\n")
    assert len(trace) < 2100


def test_causes_are_told() -> None:
    def fail() -> None:
        try:
            _ = 1 / 0
        except ZeroDivisionError as error:
            raise OSError("later") from error

    assert "ZeroDivisionError" in code_fault(raised(fail)).message
