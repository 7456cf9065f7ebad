"""LightGBM models that `Booster.save_model` wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
from _sagebird_frameworks import Refusal, check_width, library, model_files, unreadable

_INFOS = "feature_infos="


class LightGBMModel:
    """A booster; words in its columns are what pandas' categories were when it was fitted."""

    def __init__(self, lightgbm: Any, path: str) -> None:
        self._booster = lightgbm.Booster(model_file=path)
        self._fault = lightgbm.basic.LightGBMError
        self.n_features_in_ = int(self._booster.num_feature())
        names = list(self._booster.feature_name())
        if names != [f"Column_{place}" for place in range(len(names))]:
            self.feature_names_in_ = names
        known = self._booster.pandas_categorical or []
        places = _word_columns(path) if known else []
        if len(places) != len(known):
            raise ValueError(
                "it has categories of columns that it makes no use of, so they cannot be told apart"
            )
        self._codes = {
            place: {word: float(code) for code, word in enumerate(words)}
            for place, words in zip(places, known)
        }

    def predict(self, data: Any) -> Any:
        """What the booster's own `predict` says. Raises Refusal."""
        rows = np.asarray(data, dtype=object if self._codes else float)
        check_width(rows, self.n_features_in_, "Booster")
        if self._codes:
            columns = [
                np.array([self._codes[place].get(cell, np.nan) for cell in cells])
                if place in self._codes
                else np.asarray(cells, dtype=float)
                for place, cells in enumerate(rows.T)
            ]
            rows = np.column_stack(columns)
        try:
            return self._booster.predict(rows, num_threads=1)
        except self._fault as error:
            raise Refusal(str(error)) from error


def _word_columns(path: str) -> list[int]:
    """The places of columns that hold categories: their infos list values, others a range."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(_INFOS):
                infos = line[len(_INFOS) :].split()
                return [
                    place for place, info in enumerate(infos) if info != "none" and not info.startswith("[")
                ]
    return []


def model_fn(model_dir: str) -> LightGBMModel:
    """Load the model's file."""
    path = model_files(model_dir)[0]
    lightgbm = library("lightgbm", path)
    try:
        return LightGBMModel(lightgbm, path)
    except Exception as error:
        raise unreadable(path, "LightGBM", error) from error
