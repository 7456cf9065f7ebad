import os
import pickle
import subprocess
from pathlib import Path

import joblib
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from service.hosting.runtimes.named import modules_in, modules_of
from tests.conftest import wait_until

_WORDS = make_pipeline(ColumnTransformer([("words", OneHotEncoder(), ["word"])]), Ridge())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_modules_of_a_pickle_are_found_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(make_pipeline(StandardScaler(), Ridge()), protocol))

    found = modules_of(file)

    assert {"sklearn.pipeline", "sklearn.preprocessing._data", "sklearn.linear_model._ridge"} <= {*found}
    assert "pandas" not in found


def test_models_that_are_asked_by_the_names_of_columns_need_frames(tmp_path: Path) -> None:
    joblib.dump(_WORDS, tmp_path / "model.joblib")

    assert {"pandas", "sklearn.compose._column_transformer"} <= {*modules_of(tmp_path / "model.joblib")}


def test_the_folder_of_one_model_and_that_of_many_are_looked_through(tmp_path: Path) -> None:
    (tmp_path / "bayes").mkdir()
    joblib.dump(GaussianNB(), tmp_path / "bayes" / "model.joblib")

    assert modules_in(tmp_path) == modules_in(tmp_path / "bayes") == ["sklearn.naive_bayes"]


@pytest.mark.parametrize("script", ["inference.py", "code/inference.py"])
def test_what_a_script_loads_is_not_needed_here(tmp_path: Path, script: str) -> None:
    (tmp_path / "own" / script).parent.mkdir(parents=True)
    (tmp_path / "own" / script).write_text("")
    joblib.dump(_WORDS, tmp_path / "own" / "model.joblib")

    assert modules_in(tmp_path) == []


def test_what_is_no_model_or_not_there_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd" / "model.joblib")  # to open it would wait for a writer
    (tmp_path / "odd2").mkdir()
    (tmp_path / "odd2" / "model.pkl").write_bytes(b"\x00sklearn. sklearn.\xff sklearn..x pandasql")

    assert modules_in(tmp_path) == ["pandas"]
    assert modules_in(tmp_path / "not there") == []
    assert modules_of(tmp_path / "not there") == []


def test_a_link_to_a_plain_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "true").write_bytes(b"sklearn.svm")
    (tmp_path / "model.joblib").symlink_to("true")

    assert modules_of(tmp_path / "model.joblib") == ["sklearn.svm"]


def test_a_link_to_what_the_kernel_makes_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(
        ["cat", "-", "pandas"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        (tmp_path / "model.pkl").symlink_to(f"/proc/{process.pid}/cmdline")
        # the kernel lets Popen go on before it has set down what the new program was called with
        wait_until(lambda: b"pandas" in (tmp_path / "model.pkl").read_bytes())

        assert modules_of(tmp_path / "model.pkl") == []


def test_a_pipe_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.pkl")  # to open it would wait for a writer

    assert modules_of(tmp_path / "model.pkl") == []


def test_files_that_lie_about_hide_no_folder(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.txt").touch()
    for letter in "abcdefghijklmnopqrst":
        (tmp_path / letter).mkdir()
        (tmp_path / letter / "model.pkl").write_bytes(f"sklearn.{letter}".encode())
    (tmp_path / "0.pkl").write_bytes(b"sklearn.z")

    assert modules_in(tmp_path) == [f"sklearn.{letter}" for letter in "abcdefghijklmnopqrstz"]


def test_so_many_modules_are_named_and_no_more(tmp_path: Path) -> None:
    letters = "abcdefghijkl"
    names = " ".join(f"sklearn.{a}{b}{c}" for a in letters for b in letters for c in letters)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pkl").write_bytes(names.encode())

    assert len(modules_of(tmp_path / "one" / "model.pkl")) == 500
    assert len(modules_in(tmp_path)) == 500
