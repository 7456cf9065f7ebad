"""What programs leave to the estimator itself, and what of a pickle is left to a process of its own."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from service.hosting.artifacts.unpacked import Room
from service.hosting.programs.compiled import Joined, Quick
from service.hosting.programs.domain import Domain, domain_of
from service.hosting.runtimes.guarded import Unsure, load_within
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.codec import Accept

_ACCEPT = Accept("application/json", None)
_ROOM = Room(2**28)
_ROWS = np.random.default_rng(4).uniform(1, 9, size=(80, 3))
_LABELS = (_ROWS[:, 0] > 5).astype(int)


def test_a_frame_that_a_script_made_is_handed_to_the_estimator_as_it_is() -> None:
    frame = pd.DataFrame({"city": ["Rome", "Paris", "Rome", "Paris"]})
    pipeline = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, ["r", "p", "r", "p"])
    assert SklearnModel(pipeline).predict(frame[:2], _ACCEPT).tolist() == ["r", "p"]


def test_requests_are_put_together_only_where_there_is_a_program_and_they_are_as_wide_as_it() -> None:
    model = SklearnModel(LogisticRegression().fit(_ROWS, _LABELS))
    assert model.predict_joined(_ROWS, 1, _ACCEPT) is None
    model.accelerate({"predict": Quick(model.method("predict"))}, {"predict": Joined.ROWS})
    assert model.predict_joined(_ROWS[:, :2], 0, _ACCEPT) is None
    found: Any = model.predict_joined(_ROWS, 0, _ACCEPT)
    np.testing.assert_array_equal(found, model.method("predict")(_ROWS))


def test_programs_of_columns_that_nobody_knows_take_no_gaps() -> None:
    steps = (FunctionTransformer(np.log1p), StandardScaler(), KNeighborsClassifier(3))
    model = SklearnModel(make_pipeline(*steps).fit(_ROWS, _LABELS))
    programs = model.programs()
    assert {name: domain_of(step) for name, step in programs.items()} == {
        "predict": Domain.PLAIN,
        "predict_proba": Domain.PLAIN,
    }
    probes: Any = model.probes()
    assert not np.isnan(probes).any()
    for name, step in programs.items():
        np.testing.assert_array_equal(step(_ROWS), model.method(name)(_ROWS))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_matrix_of_objects_is_not_unpickled_here(tmp_path: Path) -> None:
    file = tmp_path / "model.joblib"
    cells = np.array([["a", 1]], dtype=object)
    joblib.dump(cells, file)
    assert load_within(file, _ROOM).tolist() == [["a", 1]]
    joblib.dump(np.asmatrix(cells), file)
    with pytest.raises(Unsure):
        load_within(file, _ROOM)


def test_a_pickle_that_makes_an_object_of_what_is_no_class_is_not_unpickled_here(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(b"\x80\x02cfractions\nFraction\n)\x81.")
    assert type(load_within(file, _ROOM)).__name__ == "Fraction"
    file.write_bytes(b"\x80\x02cnumpy\nones\n)\x81.")
    with pytest.raises(Unsure):
        load_within(file, _ROOM)
