"""Scripts that define some of the functions, with estimators that answer by programs: the same answers."""

import itertools
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.runner.conftest import giver
from tests.runner.containers import Container, ForkServer, Reply

LENDER = "service.hosting.runtimes.scripted"
MOST_BYTES = 1 << 24
JSON, CSV = "application/json", "text/csv"
FUNCTIONS = {
    "model_fn": """
        def model_fn(model_dir):
            import joblib
            model = joblib.load(model_dir + "/model.joblib")
            model.asked = 0
            return model
        """,
    "input_fn": """
        def input_fn(body, kind):
            global rows
            rows = json.loads(body)
            if not isinstance(rows, list):
                raise ValueError("no rows")
            return pd.DataFrame(rows).astype({"speed": "float64"})
        """,
    "predict_fn": """
        def predict_fn(data, model):
            frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(list(data))
            if "flip" in frame.columns:
                model[-1].coef_ *= -1
                frame = frame.drop(columns="flip")
            return model.predict_proba(frame)[:, 0]
        """,
    "output_fn": """
        def output_fn(prediction, accept):
            if accept == "text/plain":
                raise KeyError(accept)
            return json.dumps([accept, str(prediction.dtype), prediction.tolist(), globals().get("rows")])
        """,
}
TRANSFORM = """
    def transform_fn(model, body, kind, accept):
        frame = pd.DataFrame(json.loads(body))
        return json.dumps([model.predict(frame).tolist(), model.predict_proba(frame).tolist()]), accept
    """
SUBSETS = [
    (*["model_fn"] * (count % 2), *some)
    for count in range(4)
    for some in itertools.combinations(("input_fn", "predict_fn", "output_fn"), count)
]
"""All that a script may define between a call and its answer, and every other time what loads the model."""

GOOD, BAD = {"speed": 250.0, "height": 9.5}, {"speed": "fast", "height": 9.5}
CALLS: tuple[tuple[Any, str, str | None], ...] = (
    ([GOOD], JSON, None),
    ([GOOD, {"speed": 1e30, "height": -1.5}, {"speed": 100, "height": 2}], JSON, None),
    ([GOOD, {"speed": None, "height": 1.0}], JSON, None),
    ([BAD], JSON, None),
    ([{"speed": 1}], JSON, None),
    ({"no": "rows"}, JSON, None),
    ([GOOD], JSON, CSV),
    ([GOOD], JSON, "text/plain"),
    ([GOOD], JSON, "application/json; output=probabilities"),
    ([[250.0, 9.5], [90, 1]], JSON, None),
    ("250,9.5\n90,1\n", CSV, None),
    ("height,speed\n9.5,250\n", CSV, CSV),
    ("250", CSV, None),
    ("{", JSON, None),
    ([GOOD], "image/png", None),
    ([{**GOOD, "flip": 1}], JSON, None),  # a script may change its model for good
    ([GOOD], JSON, None),
)


@pytest.fixture(scope="module")
def lending() -> Iterator[ForkServer]:
    """A fork server to which a server lends what makes programs; who is not there lends nothing."""
    with ForkServer(lenders=("nobody.is.here", LENDER)) as server:
        yield server.ready()


@pytest.fixture(scope="module")
def strikes() -> Any:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"speed": random.normal(150, 40, 80), "height": random.normal(9, 3, 80)})
    answers = np.where(table["speed"] + 9 * table["height"] > 230, "yes", "no")
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(table, answers)


def _script(functions: tuple[str, ...]) -> str:
    parts = [FUNCTIONS[name] for name in functions]
    return "import json\nimport pandas as pd\n" + "".join(map(textwrap.dedent, parts))


@pytest.fixture
def both(lending: ForkServer, tmp_path: Path, strikes: Any) -> Iterator[Any]:
    """Two containers of a script, the first of which may make programs, and what this one has told."""
    made: list[Container] = []

    def start(script: str) -> tuple[Container, Container, dict[str, Any]]:
        told = []
        for place, most_bytes in (("quick", MOST_BYTES), ("plain", 0)):
            container = giver(tmp_path / place)(script, model=strikes)
            container.spec = {**container.spec, "program_bytes": most_bytes}
            made.append(lending.start(container))
        for container in made:
            told.append(container.loaded())
            container.work(0)
        return made[0], made[1], told[0]

    yield start
    for container in made:
        container.close()


def _ask(container: Container, body: Any, kind: str, accept: str | None) -> Reply:
    given = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return container.call(given, kind, accept)


def _told(reply: Reply) -> tuple[int, str | None, str]:
    """An answer; of a failure what is raised, and not the lines that it went through."""
    text = reply.text if reply.status < 500 else reply.text.partition("\n")[0]
    return reply.status, reply.kind, text


@pytest.mark.parametrize("functions", SUBSETS, ids=lambda some: "+".join(some) or "none")
def test_a_script_with_any_of_the_functions_answers_as_without_programs(
    both: Any, functions: tuple[str, ...]
) -> None:
    quick, plain, told = both(_script(functions) if functions else None)

    assert told["compiled"] == ["predict", "predict_proba"]
    for call in CALLS:
        assert _told(_ask(quick, *call)) == _told(_ask(plain, *call)), call


def test_a_script_with_transform_fn_answers_as_without_programs(both: Any) -> None:
    quick, plain, told = both("import json\nimport pandas as pd\n" + textwrap.dedent(TRANSFORM))

    assert told["compiled"] == ["predict", "predict_proba"]
    for call in CALLS:
        assert _told(_ask(quick, *call)) == _told(_ask(plain, *call)), call


def test_programs_answer_and_not_the_estimator(both: Any) -> None:
    quick, plain, _ = both(
        """
        import json
        import pandas as pd
        from sklearn.utils import validation
        own, looks = validation.check_array, []
        def check_array(*arguments, **options):
            looks.append(1)
            return own(*arguments, **options)
        validation.check_array = check_array
        def input_fn(body, kind):
            looks.clear()
            return pd.DataFrame(json.loads(body))
        def predict_fn(data, model):
            return [model.predict(data).tolist(), len(looks)]
        """
    )
    (answer, looks), (expected, others) = (_ask(each, [GOOD], JSON, None).json for each in (quick, plain))

    assert answer == expected
    assert (looks, others > 0) == (0, True)


def test_a_script_meets_no_module_of_the_servers(both: Any) -> None:
    quick, _, told = both(
        """
        import sys
        def predict_fn(data, model):
            model.predict(data)
            return [name for name in sys.modules if name.partition(".")[0] == "service"]
        """
    )

    assert told["compiled"] == ["predict", "predict_proba"]
    assert _ask(quick, [[250.0, 9.5]], JSON, None).json == []
