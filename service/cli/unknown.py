"""Variables that look like settings and are none: somebody meant another one, perhaps."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from service.settings import PREFIX, Settings

# Read by commands (URL, API_KEY) and by docker-compose.yml, whose variables may reach the server with others.
_OTHERS: Final = frozenset(
    f"{PREFIX}{name}" for name in ("URL", "API_KEY", "IMAGE", "UID", "GID", "PACKAGES")
)


def unknown_settings(names: Iterable[str]) -> list[str]:
    """A sentence for each of these variables that looks like a setting and is none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    told = []
    for name in sorted(names):
        if not name.upper().startswith(PREFIX) or name.upper() in known | _OTHERS:
            continue
        near = get_close_matches(name.upper(), known, n=1, cutoff=0.8)
        told.append(f"{name} is no setting" + (f": perhaps {near[0]} is meant." if near else "."))
    return told
