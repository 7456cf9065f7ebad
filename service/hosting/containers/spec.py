"""What a container is asked to be, and what it tells once it stands.

Values only, and how they are written for the wires between gateway, model host and runner.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from service.media.types import JSON, PICKLES

MOST_WORKERS: Final = 256


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One model with code of its own; what is equal in what it is made of is one container.

    `version` changes whenever its files do. `program` is the script's path, "" where the model has none;
    `code_dirs` are where its modules lie. `environment` is the model's own; `python` is the interpreter of an
    environment made for it, "" for the server's. Times are in seconds,
    `memory_bytes` is what all its processes may hold, 0 for any; `program_bytes` what programs of its
    estimators may, 0 for none.

    One of an `image` runs that instead, with `code_dirs` at most one folder of code apart from the model and
    `workers` the processors that it may use; where the engine lacks it, it may `pull` it.
    What it prints at no call is kept at the `log_places` of all who ask for it.
    """

    name: str
    version: str
    model_dir: str
    code_dirs: tuple[str, ...] = ()
    program: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    default_accept: str = JSON
    workers: int = 1
    python: str = ""
    timeout_s: float = 60.0
    load_timeout_s: float = 600.0
    memory_bytes: int = 0
    program_bytes: int = 0
    image: str = ""
    pull: bool = False
    log_places: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for equal specs, whatever their names, times to load and log places: 32 digits."""
        made_of = replace(self, name="", load_timeout_s=0.0, log_places=())
        return hashlib.sha256(made_of.to_json()).hexdigest()[:32]

    def to_json(self) -> bytes:
        """As one line of JSON, members in order."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, text: bytes) -> "ContainerSpec":
        """What `to_json` wrote. Raises ValueError, TypeError, KeyError: it did not."""
        members = orjson.loads(text)
        lists = {name: tuple(members[name]) for name in ("code_dirs", "log_places")}
        spec = cls(**{**members, **lists})
        if not 0 <= spec.workers <= MOST_WORKERS:
            raise ValueError(f"{spec.workers} workers are asked for")
        return spec

    def for_runner(self, machine: Mapping[str, str], log_key: str = "") -> dict[str, Any]:
        """What the runner is told.

        `machine` are the variables that every container has; lines are marked with the `log_key`, if any.
        """
        return {
            "model_dir": self.model_dir,
            "code_dirs": self.code_dirs,
            "program": self.program or None,
            "environment": {**machine, **self.environment, "SM_MODEL_DIR": self.model_dir},
            "user_environment": dict(self.environment),
            "model_files": PICKLES,
            "default_accept": self.default_accept,
            "program_bytes": self.program_bytes,
            "log_key": log_key,
        }


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a container tells of its model once that is loaded.

    `functions` are those of its script; `kind` is the class of what was loaded. `threads` are those that it
    has, and `descriptors` what it left open. `interface` is what the model takes and gives, as the runner
    describes it, and `compiled` are the methods of its estimators that are answered by programs.
    """

    seconds: float
    threads: int = 1
    functions: tuple[str, ...] = ()
    kind: str = ""
    execution_parameters: bool = False
    interface: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    descriptors: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()

    @property
    def can_be_forked(self) -> bool:
        """Whether workers may be copies of the process that loaded it.

        A copy lacks its other threads, and shares its places in files and its ends of connections.
        """
        return self.threads <= 1 and not self.descriptors

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> "Loaded":
        """Of the members that came over a wire; those that are not known are passed over."""
        known: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            value = members.get(name)
            if value is not None:
                known[name] = tuple(value) if isinstance(value, list) else value
        return cls(**known)
