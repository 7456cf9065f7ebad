"""The script of a model, as AWS's containers of scikit-learn and our own call it."""

import json
import os

import joblib


def model_fn(folder):
    return joblib.load(os.path.join(folder, "model.joblib"))


def predict_fn(rows, model):
    print("asked for", len(rows), "rows")
    return [f"class {label}" for label in model.predict(rows)]


def output_fn(answers, accept):
    return json.dumps(answers), accept
