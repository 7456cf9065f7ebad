"""What is to be said of one container, for who shows it, and for who counts what it uses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContainerCard:
    """One container of this machine: `state` is loading, ready, busy or broken.

    So many of its processes are `busy`, the longest one for `busy_s` seconds; they have begun `calls`, None
    where nobody knows, and were started anew `restarts` times, the last time for `reason`. They have used
    `cpu_s` seconds of CPUs, those that are gone included. It has a `key` of its own, and serves those whose
    log places are its `places`.
    """

    model: str
    image: str
    state: str
    pids: tuple[int, ...]
    busy: int
    busy_s: float
    calls: int | None
    size_bytes: int
    restarts: int
    reason: str
    cpu_s: float = 0.0
    key: str = ""
    places: tuple[str, ...] = ()
