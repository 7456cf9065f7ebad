"""Libraries that the server has not, in an environment made for their models: where there are wheels of them.

SAGEBIRD_TEST_WHEELS names the folder that fetch_wheels.py filled. One environment is made for all of it.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from service.hosting.containers.opener import Containers
from service.hosting.environments.asked import what_is_lacking
from service.hosting.environments.environments import Environments
from service.hosting.environments.keeping import RECORD
from service.hosting.host import Call, Model
from service.hosting.runtimes.table import Loading, load_model
from tests.hosting.environments.fetch_wheels import LIBRARIES, TORCH, has_wheel

# Each is given rows and a folder, saves a model there as its users do, and says what that predicts.
BEGIN = """
    import json, sys
    import numpy as np
    folder, rows = sys.argv[1], np.array(json.load(sys.stdin))
    target = np.digitize(rows[:, 0] + rows[:, 1] * rows[:, 2], [-0.5, 0.5])
"""
END = """
    print(json.dumps(np.asarray(predicted).tolist()))
"""
CATBOOST = """
    import catboost
    quiet = {"iterations": 5, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    model = catboost.CatBoostClassifier(**quiet).fit(rows, np.array(["low", "middle", "high"])[target])
    model.save_model(f"{folder}/model.cbm")
    predicted = model.predict(rows)
"""
MLFLOW = """
    import mlflow.pyfunc

    class Doubled(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return np.asarray(model_input).sum(axis=1) * 2

    model = Doubled()
    mlflow.pyfunc.save_model(f"{folder}/saved", python_model=model, pip_requirements=["numpy"])
    predicted = model.predict(None, rows)
"""
XGBOOST = """
    import pickle, xgboost
    assert xgboost.__version__ == "2.1.4"
    data = xgboost.DMatrix(rows, label=target)
    model = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, data, 5)
    with open(f"{folder}/xgboost-model", "wb") as file:
        pickle.dump(model, file)
    predicted = model.predict(data)
"""
TORCHSCRIPT = """
    import torch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1)).eval()
    torch.jit.trace(module, torch.zeros(1, 4)).save(f"{folder}/model.pt")
    with torch.no_grad():
        predicted = module(torch.from_numpy(rows).float()).numpy()
"""

Try = Callable[[str, str], tuple[Model, Any]]


@pytest.fixture(scope="module")
def rows() -> list[list[float]]:
    found: list[list[float]] = np.random.default_rng(7).normal(size=(500, 4)).round(3).tolist()
    return found


@pytest.fixture(scope="module")
def requirements() -> str:
    """What all of them ask for together, so that they share one environment."""
    named = os.environ.get("SAGEBIRD_TEST_WHEELS", "")
    return "".join(f"{wanted}\n" for wanted in (*LIBRARIES.values(), TORCH) if has_wheel(Path(named), wanted))


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    folder = tmp_path_factory.mktemp("libraries")
    wheels = Path(os.environ.get("SAGEBIRD_TEST_WHEELS", ""))
    return Environments(folder / "environments", (folder / "models",), wheels=wheels)


@pytest.fixture
def trained(
    environments: Environments, requirements: str, rows: list[list[float]], containers: Containers
) -> Try:
    """Has a library train in the environment that its model asks for: the model, and what it should say."""

    def train(library: str, program: str) -> tuple[Model, Any]:
        if LIBRARIES.get(library, TORCH) not in requirements.splitlines():
            pytest.skip(f"SAGEBIRD_TEST_WHEELS names no folder with wheels of {library}")
        folder = environments.own[0] / library
        (folder / "code").mkdir(parents=True)
        (folder / "code" / "requirements.txt").write_text(requirements)
        asked = what_is_lacking(folder / "code" / "requirements.txt", "", "")
        assert asked is not None
        python = environments.python_for(asked, lambda _note: None)
        assert len(list(environments.folder.glob(f"*/{RECORD}"))) == 1
        code = dedent(BEGIN) + dedent(program) + dedent(END)
        done = subprocess.run(
            [python, "-c", code, str(folder)], input=json.dumps(rows), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        for saved in (folder / "saved").glob("*"):  # by what makes its folder itself
            saved.rename(folder / saved.name)
        loading = Loading(containers=replace(containers, environments=environments))
        return load_model(folder, {}, loading), json.loads(done.stdout.splitlines()[-1])

    return train


def lines_of(rows: list[list[float]]) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in rows).encode()


def say(model: Model, body: bytes, kind: str, accept: str = "application/json") -> Any:
    return json.loads(model.answer(Call(body, kind, accept)).body)


def test_catboost_answers_as_itself(trained: Try, rows: list[list[float]]) -> None:
    model, wanted = trained("catboost", CATBOOST)

    assert say(model, lines_of(rows), "text/csv") == wanted


def test_a_model_that_only_mlflow_can_load_answers_as_itself(trained: Try, rows: list[list[float]]) -> None:
    model, wanted = trained("mlflow", MLFLOW)

    body = json.dumps({"inputs": rows}).encode()
    assert say(model, body, "application/json") == {"predictions": wanted}


def test_another_version_of_xgboost_answers_as_itself(trained: Try, rows: list[list[float]]) -> None:
    model, wanted = trained("xgboost", XGBOOST)

    told = say(model, lines_of(rows), "text/csv")
    assert [each["score"] for each in told["predictions"]] == wanted


def test_torchscript_answers_as_itself(trained: Try, rows: list[list[float]]) -> None:
    model, wanted = trained("torch", TORCHSCRIPT)

    found = np.array(say(model, lines_of(rows), "text/csv"))
    np.testing.assert_allclose(found, np.array(wanted), rtol=1e-6)
