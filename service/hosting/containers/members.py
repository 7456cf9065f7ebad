"""The processes of one container, as the model host knows them: the template, and its workers.

Not in here: what becomes of them (container).
"""

from dataclasses import dataclass, field

from service.hosting.containers.channel import Channel
from service.hosting.containers.output import Output
from service.hosting.containers.spec import Loaded


@dataclass(slots=True)
class WorkerProcess:
    """A process that answers calls, in its place among the others."""

    slot: int
    pid: int = 0
    size_bytes: int = 0  # when it was forked
    below_bytes: int = 0  # in processes that it has started
    started_s: float = 0.0
    calls: int = 0  # that its place had begun before
    quick_deaths: int = 0
    reason: str = ""  # why it was killed
    leaves: str = ""  # why it is to leave once it is at no call


@dataclass(slots=True)
class TemplateProcess:
    """A process that has loaded the model, and the workers that were forked from it."""

    channel: Channel
    pid: int
    outputs: tuple[Output, Output]
    slot: int | None = None  # it is that worker itself
    loaded: Loaded = field(default_factory=lambda: Loaded(0.0))
    is_loading: bool = True
    base_bytes: int = 0  # what it was forked with
    size_bytes: int = 0  # of the model
    below_bytes: int = 0  # in processes that were started while it loaded
    reason: str = ""  # why it was killed while it loaded

    @property
    def last_words(self) -> str:
        """What it printed last, as the end of a sentence."""
        return f", and said last: {self.outputs[1].last}" if self.outputs[1].last else ""
