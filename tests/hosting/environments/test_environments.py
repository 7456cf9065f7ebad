"""Environments that are really made: by uv, of small wheels, for models in containers."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from service.errors import ModelFailure
from service.hosting.containers.opener import Containers
from service.hosting.environments.asked import what_is_lacking
from service.hosting.environments.environments import Environments
from service.hosting.environments.keeping import CACHE, RECORD, clear_unused
from service.hosting.host import Call, Model
from service.hosting.runtimes.table import Loading, load_model
from tests.conftest import wait_until
from tests.harness.disks import small_file_system
from tests.harness.wheels import write_base, write_wheel

OLD_IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SAYS = """
    import os, sys

    import greeting

    def model_fn(model_dir):
        return greeting.WORD

    def transform_fn(model, body, content_type, accept):
        return f"{model} {os.getpid() != os.getppid()} {sys.prefix}", "text/plain"
"""
PLAIN = """
    def model_fn(model_dir):
        return 1

    def transform_fn(model, body, content_type, accept):
        return "plain", "text/plain"
"""
MAKER = """
import sys
from pathlib import Path
from service.hosting.environments.asked import what_is_lacking
from service.hosting.environments.environments import Environments
folder, wheels, file = map(Path, sys.argv[1:])
asked = what_is_lacking(file, "", "")
print(Environments(folder, wheels=wheels).python_for(asked, lambda note: print(note, flush=True)))
"""
LIMIT_S = 60.0
BEING_MADE = "its environment is being made, for"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    write_base(folder)
    for version, word in (("1.0", "good day"), ("2.0", "hello")):
        write_wheel(folder, "greeting", version, {"greeting.py": f"WORD = {word!r}\n"})
    return folder


@pytest.fixture
def environments(tmp_path: Path, wheels: Path) -> Environments:
    return Environments(tmp_path / "data" / "environments", (tmp_path / "models",), wheels=wheels)


@pytest.fixture
def silent_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """An index that takes calls and answers none, as far as it is not asked to hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{listener.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        listener.settimeout(LIMIT_S)
        yield listener


def write_model(tmp_path: Path, name: str, requirements: str, script: str = SAYS) -> Path:
    folder = tmp_path / "models" / name
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(dedent(script))
    (folder / "code" / "requirements.txt").write_text(requirements)
    return folder


def load(folder: Path, containers: Containers, environments: Environments | None, image: str = "") -> Model:
    return load_model(
        folder, {}, Loading(containers=replace(containers, environments=environments)), image=image
    )


def say(model: Model) -> str:
    return model.answer(Call(b"", "text/csv", None)).body.decode()


def made(environments: Environments) -> list[Path]:
    return [file.parent for file in environments.folder.glob(f"*/{RECORD}")]


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def make(environments: Environments, file: Path, notes: list[str] | None = None) -> str:
    asked = what_is_lacking(file, "", "")
    assert asked is not None
    return environments.python_for(asked, (notes if notes is not None else []).append)


def write_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "code" / "requirements.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def refusal(environments: Environments, file: Path) -> str:
    with pytest.raises(ModelFailure) as caught:
        make(environments, file)
    return caught.value.message


def start_maker(environments: Environments, wheels: Path, file: Path) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", MAKER, str(environments.folder), str(wheels), str(file)]
    root = str(Path(__file__).resolve().parents[3])
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )


# ---- models in them


def test_two_models_of_different_versions_run_side_by_side(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    one = load(write_model(tmp_path, "one", "greeting==1.0\n"), containers, environments)
    other = load(write_model(tmp_path, "other", "greeting>=2\n"), containers, environments)

    places = [str(place) for place in made(environments)]
    for model, word in ((one, "good day"), (other, "hello")):
        said, place = say(model).rsplit(" ", 1)
        assert said == f"{word} True"  # a worker, forked from what loaded the model
        assert place in places
    assert len(places) == 2


def test_ten_models_that_ask_the_same_share_one_environment(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    folders = [write_model(tmp_path, f"copy-{number}", "greeting\n") for number in range(10)]
    with ThreadPoolExecutor(10) as threads:
        models = list(threads.map(lambda folder: load(folder, containers, environments), folders))

    assert {say(model).split()[0] for model in models} == {"hello"}
    assert len(made(environments)) == 1


def test_a_model_elsewhere_runs_with_what_the_server_has(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    folder = write_model(tmp_path, "one", "greeting\n", PLAIN)
    elsewhere = replace(environments, own=(tmp_path / "others",))
    for chosen in (elsewhere, None):
        model = load(folder, containers, chosen)
        (warning,) = model.traits.warnings
        assert "`sagebird install greeting` adds what is missing" in warning
    assert not environments.folder.exists()


def test_a_list_at_the_top_of_a_model_is_not_read(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    folder = write_model(tmp_path, "one", "", PLAIN)
    (folder / "requirements.txt").write_text("greeting\n")

    assert load(folder, containers, environments).traits.warnings == ()
    assert not environments.folder.exists()


def test_a_model_without_script_is_loaded_in_the_version_that_its_image_names(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    wheels = tmp_path / "old"
    code = "class Old:\n    def predict(self, rows):\n        return [__version__ for _ in rows]\n"
    write_wheel(wheels, "scikit-learn", "1.2.2", {"sklearn/__init__.py": f"__version__ = '1.2.2'\n{code}"})
    write_wheel(
        wheels,
        "joblib",
        "1.2.0",
        {"joblib.py": "def load(file):\n    import sklearn\n    return sklearn.Old()\n"},
    )
    for name, version in (("numpy", "1.24.4"), ("scipy", "1.10.1"), ("pandas", "2.0.3")):
        write_wheel(wheels, name, version)
    folder = tmp_path / "bucket" / "one"
    folder.mkdir(parents=True)
    (folder / "model.joblib").write_bytes(b"")
    everywhere = replace(environments, everywhere=True, wheels=wheels)

    model = load(folder, containers, everywhere, OLD_IMAGE)

    assert model.traits.kind == "Old"
    (place,) = made(environments)
    assert json.loads((place / RECORD).read_text())["packages"][0] == "scikit-learn==1.2.*"


def test_an_environment_is_not_cleared_while_a_model_is_loaded_in_it(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    model = load(write_model(tmp_path, "one", "greeting==1.0\n"), containers, environments)
    (place,) = made(environments)

    def clear() -> list[str]:
        os.utime(place / RECORD, (0, 0))
        return clear_unused(environments.folder, 3600)

    assert clear() == []
    assert say(model).startswith("good day")
    del model
    gc.collect()
    wait_until(lambda: clear() == [place.name])
    assert [each.name for each in (environments.folder / CACHE).iterdir()] == [".lock"]
    assert say(load(tmp_path / "models" / "one", containers, environments)).startswith("good day")


# ---- made once, whole or not at all


def test_two_processes_make_one_environment(tmp_path: Path, environments: Environments, wheels: Path) -> None:
    file = write_file(tmp_path, "greeting\n")
    both = [start_maker(environments, wheels, file) for _ in range(2)]
    said = [process.communicate()[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert len({text.splitlines()[-1] for text in said}) == 1
    assert sum(BEING_MADE in text for text in said) == 1
    assert len(made(environments)) == 1


def test_nothing_is_left_of_who_was_killed_in_the_middle(
    tmp_path: Path, environments: Environments, wheels: Path, silent_index: socket.socket
) -> None:
    file = write_file(tmp_path, "greeting\n")
    online = tmp_path / "online"
    maker = MAKER.replace("wheels=wheels", "wheels=None")
    root = str(Path(__file__).resolve().parents[3])
    process = subprocess.Popen(
        [sys.executable, "-c", maker, str(environments.folder), str(online), str(file)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": root},
    )
    connection, _ = silent_index.accept()  # uv is in the middle of it
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    connection.close()

    assert children
    wait_until(lambda: all(is_gone(child) for child in children))
    assert made(environments) == []
    python = make(environments, file)
    assert made(environments) == [Path(python).parents[1]]
    assert [place.name for place in environments.folder.glob(".new-*")] == []


def test_one_whose_interpreter_is_gone_is_made_anew(tmp_path: Path, environments: Environments) -> None:
    file = write_file(tmp_path, "greeting\n")
    python = Path(make(environments, file))
    python.unlink()
    python.symlink_to(tmp_path / "gone")

    assert make(environments, file) == str(python)
    assert python.resolve().exists()


def test_who_waited_for_a_failure_does_not_try_the_same_again(
    tmp_path: Path, environments: Environments, silent_index: socket.socket
) -> None:
    file = write_file(tmp_path, "greeting\n")
    online = replace(environments, wheels=None)
    notes: list[str] = []
    calls = 0
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(refusal, online, file)
        connection, _ = silent_index.accept()
        calls += 1
        waiting = threading.Event()

        def second() -> str:
            asked = what_is_lacking(file, "", "")
            assert asked is not None

            def tell(note: str) -> None:
                notes.append(note)
                waiting.set()

            with pytest.raises(ModelFailure) as caught:
                online.python_for(asked, tell)
            return caught.value.message

        other = threads.submit(second)
        assert waiting.wait(30)
        silent_index.close()  # and with it all that wait in it
        connection.close()
        assert first.result(30) == other.result(30)
    assert notes == ["its environment is being made by another process"]


# ---- why there is none


def test_what_no_index_has_is_told_in_one_sentence(tmp_path: Path, environments: Environments) -> None:
    said = refusal(environments, write_file(tmp_path, "greeting==9\n"))

    assert said.startswith("code/requirements.txt cannot be installed with Python 3.")
    assert "there is no version of greeting==9" in said
    assert said.endswith("; SAGEBIRD_ENVIRONMENTS=off runs it with what the server has.")
    assert "\n" not in said
    assert made(environments) == []


def test_a_conflict_is_told(tmp_path: Path, environments: Environments) -> None:
    said = refusal(environments, write_file(tmp_path, "greeting<2\ngreeting>1.5\n"))

    assert "greeting<2" in said
    assert "your requirements are unsatisfiable" in said
    assert "nor with" not in said  # another Python changes nothing


def test_an_index_that_cannot_be_reached_is_told_at_once(
    tmp_path: Path, environments: Environments, silent_index: socket.socket
) -> None:
    address = f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"
    silent_index.close()
    said = refusal(replace(environments, wheels=None), write_file(tmp_path, "greeting\n"))

    assert f"Failed to fetch: {address}" in said
    assert "Connection refused" in said
    assert "nor with" not in said


def test_a_folder_of_wheels_that_is_not_there_is_told(tmp_path: Path, environments: Environments) -> None:
    missing = replace(environments, wheels=tmp_path / "no-such-folder")

    assert "no-such-folder" in refusal(missing, write_file(tmp_path, "greeting\n"))


def test_a_full_disk_is_told_and_nothing_stays_on_it(
    tmp_path: Path, environments: Environments, wheels: Path
) -> None:
    write_wheel(tmp_path / "large", "large", "1.0", {"large.txt": os.urandom(1 << 21).hex()})
    write_base(tmp_path / "large")
    with small_file_system(tmp_path / "disk", "3m") as disk:
        small = replace(environments, folder=disk / "environments")
        said = refusal(replace(small, wheels=tmp_path / "large"), write_file(tmp_path, "large\n"))
        assert "No space left on device" in said
        assert made(small) == []
        make(small, write_file(tmp_path, "greeting\n"))
        assert len(made(small)) == 1


def test_what_an_ended_install_left_half_written_goes_with_the_next_that_fails(
    tmp_path: Path, environments: Environments
) -> None:
    left = environments.folder / ".cache" / ".tmpAbCdEf" / "python"
    left.mkdir(parents=True)
    (left / "half").write_bytes(bytes(1 << 20))

    refusal(environments, write_file(tmp_path, "greeting<2\ngreeting>1.5\n"))

    assert not left.parent.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, environments: Environments) -> None:
    (tmp_path / "file").write_text("")
    blocked = replace(environments, folder=tmp_path / "file" / "environments")

    assert "no environment can be made" in refusal(blocked, write_file(tmp_path, "greeting\n"))
