"""What a run is asked to do, and the bytes of its requests. Plain values that a process can be sent."""

import base64
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlsplit

TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where requests go. `authority` is what the Host header says."""

    host: str
    port: int
    secure: bool
    authority: str
    prefix: str = ""

    @property
    def is_here(self) -> bool:
        """Whether this is the machine itself by its address; names other than localhost are not looked up."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class RequestBody:
    """What one request sends, and what it is said to be."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class RateStage:
    """A stretch of an open loop with one rate."""

    rate: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where, how fast and for how long.

    Args:
        place: the server.
        path: the request's path, percent-encoded.
        headers: of every request, beside Content-Type.
        bodies: at least one; requests take turns.
        rate: requests due per second (open loop), the greatest if there are stages; None is a closed loop.
        poisson: due times of an open loop are random (exponential gaps) instead of evenly spaced.
        connections: most connections at once; in a closed loop exactly so many callers.
        duration_s: how long requests are due and counted, after the warm-up.
        warm_up_s: how long requests are sent before, uncounted.
        most_requests: no more than so many are counted, None for no limit.
        timeout_s: a request that has no answer so long after it was due has failed.
        region: sign for SageMaker in this AWS region; None for no signature.
        interval_s: latencies are kept by intervals of this length.
        seed: of the random due times.
        stages: of an open loop whose rate changes; their durations make up `duration_s`.
        keeps_answers: what each variant first answered to each body is kept.
    """

    place: ServerAddress
    path: str
    headers: Mapping[str, str]
    bodies: tuple[RequestBody, ...]
    rate: float | None
    connections: int
    duration_s: float
    interval_s: float
    poisson: bool = False
    warm_up_s: float = 0.0
    most_requests: int | None = None
    timeout_s: float = 30.0
    region: str | None = None
    seed: int = 0
    stages: tuple[RateStage, ...] = ()
    keeps_answers: bool = False

    @property
    def variant(self) -> str:
        """The one that all requests name, "" for any: failures are put down to it."""
        return self.headers.get(TARGET_VARIANT, "")

    @property
    def open_stages(self) -> tuple[RateStage, ...]:
        """The stages of an open loop: one if its rate does not change."""
        return self.stages or (RateStage(self.rate or 0.0, self.duration_s),)


def parse_place(url: str) -> ServerAddress | None:
    """Read a server's address; None if it is no http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        return None
    secure = parts.scheme == "https"
    authority = parts.netloc.rpartition("@")[2]
    return ServerAddress(
        parts.hostname, port or (443 if secure else 80), secure, authority, parts.path.rstrip("/")
    )


def invocations_path(place: ServerAddress, endpoint: str) -> str:
    """The path of an endpoint's invocations."""
    return f"{place.prefix}/endpoints/{quote(endpoint, safe='')}/invocations"


def wire(plan: Plan, body: RequestBody, more: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request; `more` are headers such as a signature's. They must be ASCII."""
    headers = {
        "Host": plan.place.authority,
        "Content-Type": body.content_type,
        **plan.headers,
        **(more or {}),
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"POST {plan.path} HTTP/1.1", *lines, f"Content-Length: {len(body.content)}", "", ""])
    return head.encode("ascii") + body.content


def dump(plan: Plan) -> str:
    """The plan as one line of JSON."""
    document = asdict(plan)
    for body in document["bodies"]:
        body["content"] = base64.b64encode(body["content"]).decode()
    return json.dumps(document)


def load(line: str | bytes) -> Plan:
    """The plan that `dump` wrote down."""
    document: dict[str, Any] = json.loads(line)
    bodies = tuple(
        RequestBody(base64.b64decode(body["content"]), body["content_type"])
        for body in document.pop("bodies")
    )
    stages = tuple(RateStage(**stage) for stage in document.pop("stages"))
    place = ServerAddress(**document.pop("place"))
    return Plan(place=place, bodies=bodies, stages=stages, **document)
