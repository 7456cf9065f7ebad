"""Every knob of sagebird, once: name, default, unit, meaning.

This is the only reader of SAGEBIRD_* variables. A Settings object is made once per process family and never
changes.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from service.errors import StartupError
from service.machine import count_cpus, machine_memory_bytes
from service.object_settings import ObjectSettings
from service.origins import read_host_pattern, read_origin
from service.setting_kinds import Names, Rates, Size

PREFIX = "SAGEBIRD_"
"""How the variable of each setting begins."""

DEPLOYMENTS = "sagebird-deployments"
"""The bucket that `sagebird deploy` ships to."""

USER_HEADER = "X-Sagebird-User"
COOKIE = "cookie:"
"""What stands before the name of a cookie where a header could be named as well."""
# Headers that differ from call to call: requests are known without their values (http/known_heads.py).
_PASSING = (
    *("content-length", "x-amz-date", "x-amz-content-sha256"),
    *("amz-sdk-invocation-id", "amz-sdk-request", "x-amzn-trace-id", "traceparent"),
)


class Settings(ObjectSettings):
    """What this process family was asked to be: SAGEBIRD_* variables, overridden by command-line options."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field(
        "127.0.0.1", description="Address to listen on. Any other than loopback needs SAGEBIRD_AUTH."
    )
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+.*)?$",
        description="Address by which people reach this server, where that is another than it listens on (a "
        "container's port, a proxy); what the server says of itself names it.",
    )
    auth: Literal["", "off", "keys"] = Field(
        "",
        description="`keys` asks callers for keys, which `sagebird keys` makes; `off` says on purpose that "
        "whoever reaches the port may call. One of them is needed beyond loopback.",
    )
    key_file: Path | None = Field(
        None,
        description="File from which secret access keys are derived, made where there is none; nobody but "
        "its owner may read it (default: `keys.secret` in the data folder).",
    )
    rates: Rates = Field(
        (),
        description="How often endpoints may be invoked, over all gateways together, comma-separated: "
        "`iris=100/s:20` (of which 20 may come at once), `demo-*=600/m`. The first that fits counts.",
    )
    gateways: int = Field(
        default_factory=count_cpus,
        ge=1,
        le=256,
        description="Gateway processes (default: CPUs that may be used).",
    )
    workers: int = Field(
        1,
        ge=0,
        le=256,
        description="Processes of `sagebird serve` that do batch transform jobs; 0 leaves them to "
        "`sagebird worker`.",
    )
    worker_processes: int = Field(
        default_factory=count_cpus,
        ge=1,
        le=1024,
        description="Processes with the model in each that one worker uses (default: CPUs that may be used).",
    )
    models: Path = Field(Path("models"), description="Folder of models, only read.")
    data: Path = Field(
        Path("data"), description="Folder of state: database, buckets, unpacked archives, logs."
    )
    database: str = Field(
        "",
        description="URL of a Postgres database for the state, as `postgresql://user:password@host/name`; "
        "needs `sagebird[postgres]` (default: SQLite, in the data folder).",
    )
    endpoints: Path | None = Field(
        None,
        description="File that declares endpoints (default: endpoints.yaml in the models folder); what "
        "endpoints.local.yaml beside it declares wins.",
    )
    series_keep_days: int = Field(
        15,
        ge=1,
        le=455,
        description="Days for which requests, errors and latencies of each variant are kept: by the minute "
        "for 6 hours, by 5 minutes for 3 days, by the hour beyond.",
    )
    account: str = Field("000000000000", pattern=r"^[0-9]{12}$", description="Account number in every ARN.")
    region: str = Field(
        "us-east-1", pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]$", description="Region in every ARN."
    )
    allowed_hosts: Names = Field(
        (),
        description="Names by which this server is called besides `localhost` and the address it listens on, "
        "comma-separated: `models.example.com`, `*.example.com` for all below, `*` for any.",
    )
    cors_origins: Names = Field(
        (),
        description="Origins whose web pages may ask for predictions, report outcomes and read what "
        "endpoints take, comma-separated, as `http://localhost:3000`; `*` for any.",
    )
    user_header: str = Field(
        USER_HEADER,
        pattern=r"^(cookie:)?[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        description="Header that says for which user a call is, who then always has the same variant; "
        "`cookie:NAME` reads a cookie instead.",
    )
    outcomes: Literal["off", "asked", "all"] = Field(
        "asked",
        description="Which predictions are kept for outcomes to be reported of: `asked`, those of calls that "
        "name a user or an inference id; `all`; `off`, none.",
    )
    outcome_days: int = Field(
        7, ge=1, le=3650, description="Days in which outcomes of a prediction may come; it is kept so long."
    )
    outcome_rows: int = Field(
        1_000_000,
        ge=1000,
        description="Predictions, and outcomes, that are kept at most; the oldest go first, their sums stay.",
    )
    model_memory: Size = Field(
        default_factory=lambda: machine_memory_bytes() // 2,
        gt=0,
        description="Bytes that loaded models may hold, over all gateways together (default: half of the "
        "machine's or container's memory).",
    )
    shared_model_mb: int = Field(
        100,
        ge=0,
        le=2**20,
        description="MB in the files of a built-in model, when unpacked, beyond which its arrays are in "
        "memory once for all processes of this server (Linux).",
    )
    model_idle_s: float = Field(
        0.0, ge=0, description="Seconds without a call after which a model is unloaded; 0: never."
    )
    pinned_models: Names = Field(
        (), description="Models (folder names) that are never evicted, comma-separated."
    )
    model_concurrency: int = Field(
        4,
        ge=1,
        le=1024,
        description="Calls that run at once on one variant in one gateway; the others wait in line. "
        "Code of a model's own takes one in each of its processes instead, however many there are "
        "(`SAGEMAKER_MODEL_SERVER_WORKERS` in Environment).",
    )
    model_queue: int = Field(
        1000, ge=0, description="Calls that may wait for one variant in one gateway before 503."
    )
    model_timeout_s: float = Field(
        60.0,
        gt=0,
        description="Seconds a model may take to answer; a process of its own that takes longer is ended and "
        "replaced.",
    )
    max_body_bytes: Size = Field(
        6_291_456, gt=0, description="Largest body of a real-time call (SageMaker: 6 MiB)."
    )
    max_head_bytes: Size = Field(
        65_536, ge=1024, le=2**24, description="Longest head (request line and headers) of a call; else 431."
    )
    max_line_bytes: Size = Field(
        16_384, ge=256, le=2**24, description="Longest first line (method and address) of a call; else 414."
    )
    head_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds from the first byte of a call's head, or from the connection, to its end.",
    )
    body_timeout_s: float = Field(
        30.0, gt=0, description="Seconds without a byte of a body that is due before the call is given up."
    )
    answer_timeout_s: float = Field(
        30.0, gt=0, description="Seconds in which a client reads nothing of an answer before it is given up."
    )
    keep_alive_s: float = Field(
        75.0, gt=0, description="Seconds without a call after which a connection is closed."
    )
    max_connections: int = Field(
        10_000,
        ge=1,
        description="Connections of one gateway; fewer where the limit of open files is lower. At the limit "
        "the one that was idle longest yields to a new one.",
    )
    container_memory: Size = Field(
        default_factory=lambda: machine_memory_bytes() // 2,
        ge=0,
        description="Bytes that all processes of one model with code of its own may hold, 0 for any; the one "
        "that grew most is ended beyond that (default: half of the machine's or container's memory).",
    )
    environments: Literal["off", "on", "all"] = Field(
        "on",
        description="Whether a model gets an environment of its own where the server's lacks what its "
        "code/requirements.txt asks for. `on`: models below the models folder and those of `sagebird "
        "deploy`, which are yours. `all`: also those that the API makes of other buckets, whose authors then "
        "choose what is installed here; and the version in the tag of AWS's image counts, which `on` passes "
        "over, since images are named by habit. `off`: none.",
    )
    images: Literal["off", "local", "pull"] = Field(
        "local",
        description="Whether images of others run, in the Docker engine of this machine (`DOCKER_HOST`, else "
        "its usual sockets). `local`: those that it has. `pull`: also those that it can pull, so that "
        "whoever makes a model chooses what is fetched and run here. `off`: none.",
    )
    wheels: Path | None = Field(
        None, description="Folder of wheels from which environments are made, instead of a package index."
    )
    environments_keep_days: int = Field(
        30,
        ge=1,
        le=36_500,
        description="Days without a model in it after which an environment is removed; one that a model is "
        "loaded in never is.",
    )
    logs_max_bytes: Size = Field(
        256 * 2**20,
        description="Bytes on disk for what models and jobs print, which clients of CloudWatch Logs and "
        "`sagebird logs` read; the oldest lines of who has most go first. 0: none is kept.",
    )
    s3: Literal["on", "off"] = Field(
        "on",
        description="Whether S3's clients may read and write buckets, the folders below `data/s3`: whoever "
        "reaches the port may then put models there, and models are code.",
    )
    kept: Literal["on", "off"] = Field(
        "on",
        description="Whether feature groups, pipelines, projects and the like are kept, though nothing runs.",
    )
    model_buckets: Names = Field(
        ("*",),
        description="Buckets that models may come from, comma-separated, `*` for anything: whoever may write "
        "to one may run code. `sagebird deploy` uses `sagebird-deployments`.",
    )
    archive_max_bytes: Size = Field(
        20 * 2**30, gt=0, description="Largest unpacked size of one model.tar.gz."
    )
    archive_max_members: int = Field(100_000, gt=0, description="Most files in one model.tar.gz.")
    archive_max_ratio: float = Field(
        200.0, gt=1, description="Largest ratio of unpacked to packed bytes of a model.tar.gz (above 100 MB)."
    )
    reload: bool = Field(
        True,
        description="Serve a declared model in its new version once its files were written over; `off` keeps "
        "what was loaded, as SageMaker does.",
    )
    compile: bool = Field(
        True,
        description="Answer with faster programs where they were checked to equal scikit-learn; a model "
        "whose environment says SAGEBIRD_COMPILE=off is left out.",
    )
    fast_path: bool = Field(
        True,
        description="Answer quick predictions from the HTTP parser's callback; `off` sends everything "
        "through ASGI.",
    )
    drain_s: float = Field(30.0, ge=0, description="Seconds that running calls get to finish after SIGTERM.")
    warmup_grace_s: float = Field(
        5.0,
        ge=0,
        description="Seconds a starting gateway lets its models warm up before it takes calls anyway.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level logged."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Log lines as json or text; auto: text on a terminal, json elsewhere."
    )

    @field_validator("models", "data", "endpoints", "wheels", "key_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        try:
            return None if path is None else path.expanduser().absolute()
        except RuntimeError as error:  # ~somebody whom the machine does not know
            raise ValueError(str(error)) from None

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(read_origin(origin) for origin in origins)

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(read_host_pattern(host) for host in hosts)

    @field_validator("user_header")
    @classmethod
    def _lasting(cls, name: str) -> str:
        if name.lower() in _PASSING:
            raise ValueError(f"{name} differs from call to call and names no user")
        return name

    @model_validator(mode="after")
    def _exposed_on_purpose(self) -> "Settings":
        if self.host not in ("127.0.0.1", "::1", "localhost") and not self.auth:
            raise ValueError(
                f"host {self.host} is reachable from other machines: set SAGEBIRD_AUTH=keys to ask for keys, "
                "set SAGEBIRD_AUTH=off to allow calls without keys on purpose, or listen on 127.0.0.1"
            )
        return self

    @property
    def endpoints_file(self) -> Path:
        """The file of declared endpoints; it need not exist."""
        return self.endpoints or self.models / "endpoints.yaml"

    @property
    def listed_packages(self) -> Path:
        """What models need beside sagebird, as a requirements.txt; it need not exist."""
        return self.endpoints_file.with_name("requirements.txt")

    @property
    def keys_secret(self) -> Path:
        """The key file; it need not exist."""
        return self.key_file or self.data / "keys.secret"

    @property
    def inbox(self) -> Path:
        """The drop folder; it need not exist."""
        return self.data / "inbox"

    @property
    def outbox(self) -> Path:
        """Where the outputs of the drop folder go."""
        return self.data / "outbox"

    @property
    def buckets(self) -> Path:
        """Where s3://NAME/ is the folder NAME."""
        return buckets_in(self.data)

    @property
    def bucket_details(self) -> Path:
        """What S3's clients said of buckets and objects beside their bytes."""
        return self.data / "s3-details"

    @property
    def state(self) -> Path | str:
        """Where the state is kept: the file of a SQLite database, or the URL of another."""
        return self.database or self.data / "state.db"

    @property
    def outcome_file(self) -> Path:
        """Where predictions and outcomes are kept, a SQLite database whatever has the state."""
        return self.data / "outcomes.db"

    @property
    def log_file(self) -> Path:
        """Where is kept what models print, a SQLite database whatever has the state."""
        return self.data / "logs.db"

    @property
    def gateway_memory_bytes(self) -> int:
        """What one gateway's models may hold: an equal part, in which what gateways share counts by parts."""
        return self.model_memory // self.gateways


def buckets_in(data: Path) -> Path:
    """Where a data folder has its buckets."""
    return data / "s3"


def load_settings(**options: Any) -> Settings:
    """Read settings from the environment; `options` that are not None win.

    Raises:
        StartupError: a value is not allowed; the sentence names the variable.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise StartupError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        name = PREFIX + str(problem["loc"][0]).upper() if problem["loc"] else "settings"
        message = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{name}: {message}" + (f" (got {problem['input']!r})" if problem["loc"] else ""))
    return "; ".join(problems) + "."
