"""schema.json beside a model counts more than what the model tells, and never keeps it from being served."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from service.hosting.host import Call, Column, Interface, Model, Traits
from service.hosting.runtimes.schema_file import FILE, with_schema
from service.hosting.runtimes.table import load_model

_ROWS = np.arange(12.0).reshape(6, 2)
_KINDS = [0, 1, 2, 0, 1, 2]


def _loaded(folder: Path, schema: Any, estimator: Any = None) -> Model:
    model = LogisticRegression().fit(_ROWS, _KINDS) if estimator is None else estimator
    joblib.dump(model, folder / "model.joblib")
    text = schema if isinstance(schema, str) else json.dumps(schema)
    (folder / FILE).write_text(text, encoding="utf-8")
    return with_schema(load_model(folder, {}), folder)


def test_a_model_without_the_file_is_itself(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(_ROWS, _KINDS), tmp_path / "model.joblib")
    model = load_model(tmp_path, {})

    assert with_schema(model, tmp_path) is model


def test_names_types_words_and_gaps_are_those_of_the_file(tmp_path: Path) -> None:
    columns = ["width", {"name": "town", "words": ["a", "b"], "gaps": True}]
    model = _loaded(tmp_path, {"columns": columns, "classes": [2, 1, 0]})

    assert model.interface() == Interface(
        False, 2, (Column("width"), Column("town", True, ("a", "b"), True)), (2, 1, 0), False, None
    )
    assert model.traits.warnings == ()
    assert model.answer(Call(b"0,1", "text/csv", None)).body == b"[0]"


def test_what_the_file_leaves_out_is_as_the_model_tells(tmp_path: Path) -> None:
    found = _loaded(tmp_path, {"columns": ["a", {"name": "b", "type": "text"}]}).interface()

    assert found is not None
    assert found.labels == (0, 1, 2)
    assert found.columns == (Column("a"), Column("b", text=True))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "it is no JSON"),
        ("[1]", "it must be an object with columns, classes or both"),
        ("{}", "it must be an object"),
        ({"colums": []}, "it may have columns, classes, not colums"),
        ({"columns": "a"}, "columns must be a list"),
        ({"columns": [1]}, "column 1 must be a name, or an object that has one"),
        ({"columns": [{"name": "a", "kind": 1}]}, "column a may have name, type, words, gaps, not kind"),
        ({"columns": [{"name": "a", "type": "date"}]}, "the type of column a must be number or text"),
        ({"columns": [{"name": "a", "type": "number", "words": ["x"]}]}, "and text where it has words"),
        ({"columns": [{"name": "a", "words": [1]}]}, "the words of column a must be a list of texts"),
        ({"columns": [{"name": "a", "gaps": 1}]}, "gaps that are true or false"),
        ({"columns": ["a", "a"]}, "column a is there twice"),
        ({"classes": [None]}, "classes must be a list"),
        ({"classes": [1, 1]}, "class 1 is there twice"),
        ({"classes": [*range(10_001)]}, "there may be 10,000 classes"),
        ({"columns": ["a"]}, "it has 1 columns, and the model was fitted with 2"),
        ({"classes": ["x"]}, "the model's classes are 0, 1, 2"),
        ('"' + " " * (1 << 20) + '"', "it has more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_cannot_be_followed_is_a_note_and_the_model_is_served(
    tmp_path: Path, schema: Any, why: str
) -> None:
    model = _loaded(tmp_path, schema)

    (note,) = model.traits.warnings
    assert note.startswith("schema.json is not followed: ")
    assert why in note
    assert "\n" not in note
    assert model.interface() == Interface(False, 2, (), (0, 1, 2), False, None)
    assert model.answer(Call(b"0,1", "text/csv", None)).body == b"[0]"


def test_a_built_in_models_own_names_and_answers_are_not_talked_away(tmp_path: Path) -> None:
    frame = pd.DataFrame(_ROWS, columns=["a", "b"])
    named = _loaded(tmp_path, {"columns": ["a", "c"]}, LogisticRegression().fit(frame, _KINDS))
    numbers = _loaded(tmp_path, {"classes": [1]}, LinearRegression().fit(_ROWS, _KINDS))

    assert "its column 2 is called c, and the model's b" in named.traits.warnings[0]
    assert "answers numbers, which are of no class" in numbers.traits.warnings[0]


class Mute:
    """A model with code of its own that tells nothing."""

    traits = Traits("mute", 1, scripted=True)

    def answer(self, call: Call) -> Any:
        raise AssertionError

    def interface(self) -> Interface | None:
        return None


def test_a_script_takes_and_says_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"columns": ["a"], "classes": ["yes", "no"]}')

    assert with_schema(Mute(), tmp_path).interface() == Interface(
        True, 1, (Column("a"),), ("yes", "no"), False, None
    )
