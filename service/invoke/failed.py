"""What is known of invocations that failed: the variant where they did, and a line in what it prints."""

from collections.abc import Callable
from typing import Final

from service.domain.log_places import KeepLine
from service.errors import ModelFault
from service.invoke.directory import EMPTY, Directory, Target

_VARIANT: Final = "sagebird_variant"
_MOST_CHARS: Final = 8192


def at_variant(error: Exception, variant: str) -> Exception:
    """The error, knowing the variant where it came up. Each error belongs to one call, or to some alike."""
    setattr(error, _VARIANT, variant)
    return error


def variant_of(error: BaseException) -> str | None:
    """The variant where an error came up; None if it came up before one was picked."""
    return getattr(error, _VARIANT, None)


class FailureLog:
    """Adds to what variants print what their callers were told in place of predictions."""

    def __init__(
        self,
        directory: Callable[[], Directory] = lambda: EMPTY,
        keep: KeepLine | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Where variants' lines are kept, `directory` knows; without `keep` none are. `close` ends that."""
        self.close = close
        self._directory = directory
        self._keep = keep

    def place_of(self, target: Target) -> str | None:
        """Where a target's lines are kept, None for nowhere."""
        return None if self._keep is None else target.log.place

    def note(self, endpoint: str | None, error: Exception, request_id: str) -> None:
        """Add a fault of a model, that an endpoint, or the default one, has answered a request with."""
        variant = variant_of(error)
        if self._keep is None or variant is None or not isinstance(error, ModelFault):
            return
        directory = self._directory()
        route = directory.routes.get(endpoint or directory.default or "")
        target = None if route is None else route.named.get(variant)
        place = None if target is None else target.log.place
        if target is not None and place is not None:
            container = error.container or target.container
            text = f"[sagemaker logs]: {error.status} from {container}: {error.message}"
            self._keep(place, text[:_MOST_CHARS], request_id)
