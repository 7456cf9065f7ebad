"""Tell whether a bird strike damages the aircraft, from mixed columns with gaps in them."""

import argparse
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

FOLDER = Path(__file__).resolve().parent
ORDINAL = {"wildlife_size": ["small", "medium", "large"]}
NOMINAL = {
    "phase_of_flight": ["approach", "climb", "descent", "landing roll", "parked", "take-off run", "taxi"],
    "time_of_day": ["dawn", "day", "dusk", "night"],
}
NUMERIC = ["speed_knots"]


def load_data() -> tuple[pd.DataFrame, pd.Series]:
    """All 3600 strikes: size, phase, time of day and speed (blank where unknown), and damage as yes or no."""
    strikes = pd.read_csv(FOLDER / "data.csv")
    return strikes.drop(columns="damage"), strikes["damage"]


def held_out() -> tuple[pd.DataFrame, pd.Series]:
    """The quarter of the rows that training never sees."""
    _, rows, _, answers = _split()
    return rows, answers


def train() -> Any:
    """Fit on the other three quarters."""
    rows, _, answers, _ = _split()
    classifier = LogisticRegression(max_iter=1000, random_state=0)
    return Pipeline([("columns", _columns()), ("classifier", classifier)]).fit(rows, answers)


def score(model: Any) -> float:
    """Area under the ROC curve on the held-out rows: only one strike in ten does damage."""
    rows, answers = held_out()
    return float(roc_auc_score(answers == "yes", model.predict_proba(rows)[:, 1]))


def _columns() -> Any:
    """Fill the gaps of every column, then give each kind of column its own encoding."""
    size = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OrdinalEncoder(categories=list(ORDINAL.values()))
    )
    kinds = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(categories=list(NOMINAL.values()))
    )
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return ColumnTransformer(
        [("ordinal", size, list(ORDINAL)), ("nominal", kinds, list(NOMINAL)), ("numeric", numbers, NUMERIC)]
    )


def _split() -> Any:
    rows, answers = load_data()
    return train_test_split(rows, answers, test_size=0.25, stratify=answers, random_state=0)


def main() -> None:
    """Train, write model.joblib whole or not at all, and tell the held-out score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="DIR", help="folder for model.joblib")
    output = parser.parse_args().output
    model = train()
    output.mkdir(parents=True, exist_ok=True)
    unfinished = output / f".model.joblib.{os.getpid()}"
    joblib.dump(model, unfinished, compress=0)  # uncompressed, so that it can be memory-mapped
    os.replace(unfinished, output / "model.joblib")
    print(f"{FOLDER.name}: ROC AUC {score(model):.3f} on {len(held_out()[1])} held-out rows")


if __name__ == "__main__":
    main()
