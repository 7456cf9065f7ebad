"""CatBoost models that `save_model` wrote as `cbm`."""

from __future__ import annotations

from typing import Any

import numpy as np
from _sagebird_frameworks import Refusal, check_width, library, model_files, unreadable


class CatBoostModel:
    """A classifier answers by its labels, any other model by its numbers, as their own classes do."""

    def __init__(self, catboost: Any, path: str) -> None:
        found = catboost.CatBoost()
        found.load_model(path)
        classes = np.asarray(found.classes_)
        if classes.size:
            found = catboost.CatBoostClassifier()
            found.load_model(path)
            self.classes_ = classes
        self._model = found
        self._fault = catboost.CatBoostError
        self._words = set(found.get_cat_feature_indices()) | set(found.get_text_feature_indices())
        names = list(found.feature_names_ or [])
        self.n_features_in_ = len(names)  # 0: it does not know
        if names != [str(place) for place in range(len(names))]:
            self.feature_names_in_ = names

    def predict(self, data: Any) -> Any:
        """What the model's own `predict` says. Raises Refusal."""
        rows = np.asarray(data, dtype=object if self._words else float)
        check_width(rows, self.n_features_in_, "CatBoost")
        if self._words:
            rows = rows.copy()
            for place in self._words:
                rows[:, place] = [_word(cell) for cell in rows[:, place]]
            for place in set(range(rows.shape[1])) - self._words:
                rows[:, place] = rows[:, place].astype(float)
        try:
            return self._model.predict(rows, thread_count=1)
        except self._fault as error:
            raise Refusal(str(error).strip()) from error


def _word(cell: Any) -> str:
    """A category as CatBoost was told of it: whole numbers without a point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "nan" if cell is None else str(cell)


def model_fn(model_dir: str) -> CatBoostModel:
    """Load the model's file."""
    path = model_files(model_dir)[0]
    catboost = library("catboost", path)
    try:
        return CatBoostModel(catboost, path)
    except Exception as error:
        raise unreadable(path, "CatBoost", error) from error
