"""Models of records as people have them, and a record: words, numbers, a date as a number, and gaps."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

_WORDS = ["city", "plan", "channel"]
_NUMBERS = ["age", "income", "visits", "balance", "since"]

RECORD: dict[str, Any] = {
    "city": "Rome",
    "plan": None,
    "channel": "web",
    "age": 41,
    "income": 32000.5,
    "visits": 3,
    "balance": None,
    "since": 1700000000,
}
"""What is asked."""

NAMES = [*_WORDS, *_NUMBERS]
SAMPLES = Path(__file__).resolve().parents[2] / "models"
STRIKE = {"wildlife_size": "small", "phase_of_flight": "climb", "time_of_day": "day", "speed_knots": None}
"""What the sample with a script is asked."""


def fit_logistic() -> Any:
    """Gaps filled, words one-hot, numbers scaled, and logistic regression behind it."""
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((words, _WORDS), (numbers, _NUMBERS))
    return make_pipeline(columns, LogisticRegression(max_iter=300)).fit(*_training())


def fit_boosting() -> Any:
    """Words as numbers, gaps as they are, and 100 rounds of gradient boosting behind it."""
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((words, _WORDS), ("passthrough", _NUMBERS))
    return make_pipeline(columns, HistGradientBoostingClassifier(random_state=0)).fit(*_training())


def _training(rows: int = 4000) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    table = _full(rows, random)
    answers = (table["age"] / 20 + (table["city"] == "Rome") + random.normal(size=rows) > 2.4).astype(int)
    return _with_gaps(table, random), answers


def make_table(rows: int, seed: int) -> Any:
    """So many rows as the models were fitted with, gaps too."""
    random = np.random.default_rng(seed + 1)
    return _with_gaps(_full(rows, random), random)


def _full(rows: int, random: np.random.Generator) -> Any:
    return pd.DataFrame(
        {
            "city": random.choice(["Berlin", "Rome", "Paris", "London", "Wien"], rows),
            "plan": random.choice(["free", "pro", "team"], rows),
            "channel": random.choice(["web", "shop", "app"], rows),
            "age": random.normal(40, 12, rows).round(1),
            "income": random.lognormal(10, 1, rows).round(2),
            "visits": random.integers(0, 9, rows).astype(float),
            "balance": random.normal(0, 500, rows).round(2),
            "since": random.integers(1_500_000_000, 1_760_000_000, rows),
        }
    )


def _with_gaps(table: Any, random: np.random.Generator) -> Any:
    for name in ("plan", "age", "income", "balance"):
        table.loc[random.random(len(table)) < 0.1, name] = None
    return table
