"""What happens to models, told to the metrics and to the log."""

from service.errors import ModelFault
from service.hosting.cache.source import ModelKey
from service.hosting.host import Model
from service.hosting.programs.compiled import Verdict
from service.log import get_logger
from service.observe.counts import Registry


class ModelEvents:
    """Told by a host; one per gateway."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._log = get_logger("sagebird.models")

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """A model was loaded."""
        self._registry.count_load(key.name, "loaded", seconds)
        self._log.info("model loaded", model=key.name, ms=round(seconds * 1e3), bytes=model.traits.size_bytes)
        for warning in model.traits.warnings:
            self._log.warning("model may be off", model=key.name, reason=warning)

    def compiled(self, key: ModelKey, verdict: Verdict) -> None:
        """A model was compiled, or was tried in vain."""
        self._log.debug(
            "model compiled" if verdict.compiled else "model not compiled", model=key.name, **_speeds(verdict)
        )

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        """A model could not be loaded."""
        self._registry.count_load(key.name, "failed", seconds)
        self._log.warning("model not loaded", model=key.name, reason=fault.message[:1000])

    def evicted(self, key: ModelKey, reason: str) -> None:
        """A model was unloaded."""
        self._registry.count_eviction(key.name, reason)
        self._log.info("model unloaded", model=key.name, reason=reason)


def _speeds(verdict: Verdict) -> dict[str, str]:
    """What came of compiling, and microseconds per row before and after, one row at a time."""
    fields = {
        f"{method}_us": f"{measured[0][1] * 1e6:.0f} -> {measured[0][2] * 1e6:.0f}"
        for method, measured in verdict.speeds.items()
    }
    return fields | ({"reason": "; ".join(verdict.reasons)} if verdict.reasons else {})
