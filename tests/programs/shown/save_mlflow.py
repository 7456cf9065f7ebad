"""Train a model and save it as MLflow does: python save_mlflow.py FOLDER STRENGTH."""

import sys

import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

flowers, kinds = load_iris(return_X_y=True)
model = LogisticRegression(C=float(sys.argv[2]), max_iter=1000).fit(flowers, kinds)
mlflow.sklearn.save_model(model, sys.argv[1])
