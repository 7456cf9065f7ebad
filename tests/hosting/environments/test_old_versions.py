"""Real old versions of scikit-learn beside the one that is here: where there are wheels for them.

SAGEBIRD_TEST_WHEELS names a folder of wheels: scikit-learn 1.2.2 with numpy, scipy, pandas and joblib of its
time, and what these need.
"""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from service.domain.endpoint import ModelSource
from service.errors import ModelFailure
from service.hosting.containers.opener import Containers
from service.hosting.environments.asked import what_is_lacking
from service.hosting.environments.environments import Environments
from service.hosting.host import Call
from tests.hosting.test_inline import house

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
TRAIN = """
import sys

import joblib
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

tree = DecisionTreeClassifier(random_state=0, max_depth=3).fit(*load_iris(return_X_y=True))
joblib.dump(tree, sys.argv[1])
"""
PREDICT = """
import json
import sys

import joblib
import numpy as np

print(json.dumps(joblib.load(sys.argv[1]).predict(np.array(json.load(sys.stdin))).tolist()))
"""


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    wheels = os.environ.get("SAGEBIRD_TEST_WHEELS")
    if not wheels:
        pytest.skip("SAGEBIRD_TEST_WHEELS names no folder with wheels of scikit-learn 1.2.2")
    return Environments(tmp_path / "environments", everywhere=True, wheels=Path(wheels))


def rows() -> list[list[float]]:
    data, random = load_iris().data, np.random.default_rng(7)
    drawn = data[random.integers(0, len(data), 500)] + random.normal(0, 0.3, (500, data.shape[1]))
    return [[round(float(value), 3) for value in row] for row in drawn]


def run_in(python: str, code: str, file: Path, text: str = "") -> str:
    done = subprocess.run(
        [python, "-c", code, str(file)], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_tree_of_1_2_answers_beside_one_of_this_version(
    tmp_path: Path, containers: Containers, environments: Environments
) -> None:
    asked = what_is_lacking(None, IMAGE, "")
    assert asked is not None
    try:
        python = environments.python_for(asked, lambda _note: None)
    except ModelFailure as fault:
        if "Python" in fault.message:
            pytest.skip(fault.message)
        raise
    given = rows()
    body = "\n".join(",".join(map(str, row)) for row in given).encode()

    async def test() -> None:
        async with house(tmp_path, containers=replace(containers, environments=environments)) as it:
            for name, interpreter, image in (("old", python, IMAGE), ("new", sys.executable, "")):
                (it.models / name).mkdir()
                file = it.models / name / "model.joblib"
                run_in(interpreter, TRAIN, file)
                expected = json.loads(run_in(interpreter, PREDICT, file, json.dumps(given)))
                source = ModelSource(name, image=image)
                await it.host.warm_up(source)
                answer = await it.host.single(source).invoke(Call(body, "text/csv", "application/json"))
                assert json.loads(answer.body) == expected
            assert all(not model.notes for model in it.host.models())

    asyncio.run(test())
