"""Tell three species of iris apart by logistic regression."""

import argparse
import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

FOLDER = Path(__file__).resolve().parent


def load_data() -> tuple[pd.DataFrame, pd.Series]:
    """All 150 flowers: four lengths in cm, and the species as 0, 1 or 2."""
    rows, answers = load_iris(return_X_y=True, as_frame=True)
    return rows, answers


def held_out() -> tuple[pd.DataFrame, pd.Series]:
    """The quarter of the rows that training never sees."""
    _, rows, _, answers = _split()
    return rows, answers


def train() -> Any:
    """Fit on the other three quarters."""
    rows, _, answers, _ = _split()
    return LogisticRegression(max_iter=1000, random_state=0).fit(rows, answers)


def score(model: Any) -> float:
    """Accuracy on the held-out rows."""
    rows, answers = held_out()
    return float(model.score(rows, answers))


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
    print(f"{FOLDER.name}: accuracy {score(model):.3f} on {len(held_out()[1])} held-out rows")


if __name__ == "__main__":
    main()
