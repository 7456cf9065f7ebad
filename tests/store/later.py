"""States as a later release may write them."""

from typing import Any


def with_unknown_members(state: Any, name: str = "of a later release") -> Any:
    """A state whose records have one more member each, down to the last one."""
    if isinstance(state, list):
        return [with_unknown_members(one) for one in state]
    if not isinstance(state, dict) or _is_map(state):
        return state
    return {**{key: with_unknown_members(value) for key, value in state.items()}, name: {"x": [1, None]}}


def _is_map(state: dict[str, Any]) -> bool:
    """Whether its keys are the user's, or AWS's, and not members."""
    return not state or any(key[:1].isupper() for key in state)
