"""The names of media types and the endings of files, each once. Nothing is read or written here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
NPY: Final = "application/x-npy"
TEXT: Final = "text/plain"
FORM: Final = "application/x-www-form-urlencoded"
BYTES: Final = "application/octet-stream"

ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {"application/x-jsonlines": JSON_LINES, "application/jsonl": JSON_LINES}
)
"""Other names that callers use -> the one that is used here."""

OF_ENDING: Final[Mapping[str, str]] = MappingProxyType(
    {".csv": CSV, ".json": JSON, ".jsonl": JSON_LINES, ".jsonlines": JSON_LINES, ".npy": NPY}
)
"""The ending of a file with requests -> their type."""

OF_TEXT_ENDING: Final[Mapping[str, str]] = MappingProxyType(
    {ending: kind for ending, kind in OF_ENDING.items() if kind != NPY}
)
"""The same of those whose answers are of the type of the request, as those of dropped files."""

ARCHIVES: Final = (".tar.gz", ".tgz")
"""Endings of a model's archive."""

PICKLES: Final = (".joblib", ".pkl")
"""Endings of a pickled model."""

FRAMEWORKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "MLflow": ("MLmodel",),
        "XGBoost": ("xgboost-model", ".ubj", ".bst", ".xgb", "model.json"),
        "LightGBM": ("model.txt", ".lgb"),
        "CatBoost": (".cbm",),
        "ONNX": (".onnx",),
        "skops": (".skops",),
        "TorchScript": (".pt", ".pth", ".torchscript"),
    }
)
"""Framework -> how the names of its model files end; files of other names are known by how they begin."""
