"""What the model cache needs from outside: where models come from, and who is told what happens to them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from service.domain.features import LoadLimits
from service.errors import ModelFault
from service.hosting.host import Model
from service.media.types import ARCHIVES


@dataclass(frozen=True, slots=True)
class ModelKey:
    """What makes two calls share one loaded model: the same files and image, told the same environment.

    `version` keeps deployments of one archive apart that was another one in between. `address` is what the
    caller knows the files by where their path says nothing: that of an object in a bucket. The `limits` of
    whoever asks first are those of the load.
    """

    path: Path
    environment: tuple[tuple[str, str], ...] = ()
    version: str = ""
    image: str = ""
    address: str = field(default="", compare=False)
    limits: LoadLimits = field(default=LoadLimits(), compare=False)

    @property
    def name(self) -> str:
        """How people call the model: its address, or its folder or archive, without the ending."""
        called = self.address.rstrip("/") or self.path.name
        for ending in ARCHIVES:
            called = called.removesuffix(ending)
        return called


class Prepared(Protocol):
    """A model that is on disk, unpacked, ready to be loaded."""

    @property
    def version(self) -> str:
        """Changes whenever the files do."""
        ...

    @property
    def estimate_bytes(self) -> int:
        """Memory that it will hold, as far as its files tell."""
        ...

    async def get_ready(self) -> None:
        """Wait for what may take minutes, before it takes a thread and memory. Raises ModelFault."""
        ...

    def load(self) -> Model:
        """Load it. Blocking; raises ModelFault."""
        ...


class Source(Protocol):
    """Where models come from. Both methods block and run in threads."""

    def prepare(self, key: ModelKey) -> Prepared:
        """Fetch and unpack. Raises ModelFault."""
        ...

    def version(self, key: ModelKey) -> str:
        """The version that `prepare` would find now. Raises ModelFault."""
        ...


class Observer(Protocol):
    """Who is told what the cache does."""

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """A model was loaded."""
        ...

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        """A model could not be loaded."""
        ...

    def evicted(self, key: ModelKey, reason: str) -> None:
        """A model was unloaded; reason is memory, idle or dropped."""
        ...
