"""Data frames as pandas splits them: the names of the columns once, and rows of values beside them.

`{"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}}`; an `index` may stand there too,
and says nothing to a model. Source: pandas.DataFrame.to_dict, MLflow's protocol of scoring.
"""

from typing import Any, Final

from service.errors import BadPayload
from service.media.tables import quoted

SPLIT: Final = "dataframe_split"
"""The name of such a frame in a body."""

_MEMBERS: Final = frozenset({"columns", "index", "data"})


def read_split(frame: dict[str, Any]) -> tuple[tuple[str, ...] | None, list[Any]]:
    """The names of the columns, if there are any, and the rows, which may be anything. Raises: BadPayload."""
    other = next((name for name in frame if name not in _MEMBERS), None)
    if other is not None:
        raise BadPayload(f"'{SPLIT}' holds columns, index and data; {quoted(other)} is not read.")
    names, rows = frame.get("columns"), frame.get("data")
    if not isinstance(rows, list):
        raise BadPayload(f"'{SPLIT}' holds no data, which is a list of rows.")
    if not rows:
        raise BadPayload("The body holds no rows.")
    if names is None:
        return None, rows
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadPayload(f"The columns of '{SPLIT}' are not a list of names.")
    if isinstance(rows[0], list) and len(rows[0]) != len(names):
        raise BadPayload(f"Row 1 has {len(rows[0])} columns, but there are {len(names)} names of columns.")
    return tuple(names), rows
