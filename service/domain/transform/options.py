"""What a transform job is asked to do, with the names and limits of CreateTransformJob (contract D.1)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from service.domain.transform.jsonpath import Path, compile_path
from service.errors import PathError, ValidationFault
from service.media.types import CSV, JSON, JSON_LINES

PROCESSED_TYPES: Final = (CSV, JSON, JSON_LINES)
"""The media types that filters and joins understand."""

NONE: Final = "None"
LINE: Final = "Line"
RECORD_IO: Final = "RecordIO"
TF_RECORD: Final = "TFRecord"
GZIP: Final = "Gzip"
INPUT: Final = "Input"
MULTI_RECORD: Final = "MultiRecord"
SINGLE_RECORD: Final = "SingleRecord"
MANIFEST_FILE: Final = "ManifestFile"
S3_PREFIX: Final = "S3Prefix"

MEGABYTE: Final = 2**20
MAX_MEGABYTES: Final = 100
DEFAULT_PAYLOAD_MB: Final = 6

CHOICES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "S3DataType": (S3_PREFIX, MANIFEST_FILE),
        "CompressionType": (NONE, GZIP),
        "SplitType": (NONE, LINE, RECORD_IO, TF_RECORD),
        "AssembleWith": (NONE, LINE),
        "BatchStrategy": (MULTI_RECORD, SINGLE_RECORD),
        "JoinSource": (NONE, INPUT),
    }
)
"""The values of each option that has a fixed set of them; the first one is the default."""

_MAX_FILTER_CHARS: Final = 63
_MAX_CONTENT_TYPE_CHARS: Final = 256
_MAX_ENVIRONMENT: Final = 16
_MAX_ENVIRONMENT_CHARS: Final = 10240


@dataclass(frozen=True, slots=True)
class ContainerParameters:
    """What a model's container says of itself at /execution-parameters (contract A.5); None: nothing."""

    max_concurrent_transforms: int | None = None
    batch_strategy: str | None = None
    max_payload_in_mb: int | None = None


@dataclass(frozen=True, slots=True)
class TransformOptions:
    """Everything of a CreateTransformJob but names, places and machines; None: not given.

    `insists_on_header` says of CSV what the ContentType may say, too: `text/csv; header=present`.
    """

    data_type: str = S3_PREFIX
    content_type: str | None = None
    accept: str | None = None
    compression_type: str = NONE
    split_type: str = NONE
    assemble_with: str = NONE
    batch_strategy: str | None = None
    max_payload_in_mb: int | None = None
    max_concurrent_transforms: int | None = None
    input_filter: str = "$"
    output_filter: str = "$"
    join_source: str = NONE
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 600
    max_retries: int = 3
    insists_on_header: bool = False

    def strategy(self, container: ContainerParameters) -> str:
        """The batch strategy; a job's own option wins over the container's (contract A.5)."""
        if self.split_type == NONE:
            return SINGLE_RECORD
        return self.batch_strategy or container.batch_strategy or MULTI_RECORD

    def payload_mb(self, container: ContainerParameters) -> int:
        """The most megabytes of one request; 0 means no limit."""
        for value in (self.max_payload_in_mb, container.max_payload_in_mb):
            if value is not None:
                return value
        return DEFAULT_PAYLOAD_MB

    def concurrency(self, container: ContainerParameters) -> int:
        """Requests at once: at least 1; a limit that was not asked for gives way to the payload's size."""
        if self.max_concurrent_transforms:
            return self.max_concurrent_transforms
        most = MAX_MEGABYTES // max(self.payload_mb(container), 1)
        return max(1, min(container.max_concurrent_transforms or 1, most))

    def settled(self) -> "TransformOptions":
        """With the Accept that filters and joins of answers need: that of the inputs, if none was given."""
        looks_into_answers = self.joins or self.output_filter != "$"
        return replace(self, accept=self.content_type) if looks_into_answers and self.accept is None else self

    @property
    def header(self) -> bool | None:
        """Whether there is a header line; None: nothing is said. Source: RFC 4180, section 3."""
        if self.insists_on_header:
            return True
        kind, *parameters = (self.content_type or "").lower().replace(" ", "").split(";")
        if kind != CSV:
            return None
        said = {"header=present": True, "header=absent": False}
        return next((said[each] for each in parameters if each in said), None)

    @property
    def joins(self) -> bool:
        """Whether each answer is joined to its input."""
        return self.join_source == INPUT

    @property
    def processes_records(self) -> bool:
        """Whether records are looked into: a filter or a join."""
        return self.joins or self.input_filter != "$" or self.output_filter != "$"

    def container_environment(self) -> dict[str, str]:
        """The variables that a batch container sees (contract A.4): limits only where the caller set them."""
        told = {"SAGEMAKER_BATCH": "true"}
        if self.max_payload_in_mb is not None:
            told["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(self.max_payload_in_mb)
        if self.batch_strategy is not None:
            told["SAGEMAKER_BATCH_STRATEGY"] = container_strategy(self.batch_strategy)
        if self.max_concurrent_transforms is not None:
            told["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(self.max_concurrent_transforms)
        return told | dict(self.environment)


def container_strategy(strategy: str) -> str:
    """How containers spell a strategy: MultiRecord is MULTI_RECORD (contract Z.22)."""
    return "MULTI_RECORD" if strategy == MULTI_RECORD else "SINGLE_RECORD"


def media_type(header: str | None) -> str:
    """The media type of a Content-Type or Accept, without parameters; "" for none."""
    return "" if header is None else header.partition(";")[0].strip().lower()


def without_header(content_type: str) -> str:
    """The same type for rows from which the header line was taken."""
    kind, *parameters = content_type.split(";")
    kept = [each for each in parameters if not each.strip().lower().startswith("header=")]
    return ";".join([kind, *kept])


def check_options(options: TransformOptions) -> None:
    """Refuse what cannot work, all of it in one sentence each. Raises ValidationFault."""
    problems = list(_problems(options))
    if problems:
        raise ValidationFault(" ".join(problems))


def _problems(options: TransformOptions) -> Iterator[str]:
    yield from _choice_problems(options)
    yield from _limit_problems(options)
    yield from _environment_problems(options)
    yield from _processing_problems(options)


def _choice_problems(options: TransformOptions) -> Iterator[str]:
    given = {
        "S3DataType": options.data_type,
        "CompressionType": options.compression_type,
        "SplitType": options.split_type,
        "AssembleWith": options.assemble_with,
        "BatchStrategy": options.batch_strategy,
        "JoinSource": options.join_source,
    }
    for name, value in given.items():
        if value is not None and value not in CHOICES[name]:
            yield f"{name} must be {' or '.join(CHOICES[name])}, not {value!r}."
    if options.batch_strategy == MULTI_RECORD and options.split_type == NONE:
        yield (
            "BatchStrategy MultiRecord needs records: set SplitType to Line, RecordIO or TFRecord, "
            "or leave the strategy out."
        )


def _limit_problems(options: TransformOptions) -> Iterator[str]:
    payload, concurrent = options.max_payload_in_mb, options.max_concurrent_transforms
    if payload is not None and not 0 <= payload <= MAX_MEGABYTES:
        yield f"MaxPayloadInMB must be from 0 to {MAX_MEGABYTES}, not {payload}."
    if concurrent is not None and concurrent < 0:
        yield f"MaxConcurrentTransforms must be 0 or more, not {concurrent}."
    together = (DEFAULT_PAYLOAD_MB if payload is None else payload) * (concurrent or 1)
    if together > MAX_MEGABYTES:
        yield (
            f"MaxConcurrentTransforms * MaxPayloadInMB must be at most {MAX_MEGABYTES} MB, "
            f"but it is {together} MB."
        )
    if not 1 <= options.timeout_s <= 3600:
        yield f"InvocationsTimeoutInSeconds must be from 1 to 3600, not {options.timeout_s}."
    if not 0 <= options.max_retries <= 3:
        yield f"InvocationsMaxRetries must be from 0 to 3, not {options.max_retries}."
    for name, text, most in (
        ("ContentType", options.content_type, _MAX_CONTENT_TYPE_CHARS),
        ("Accept", options.accept, _MAX_CONTENT_TYPE_CHARS),
        ("InputFilter", options.input_filter, _MAX_FILTER_CHARS),
        ("OutputFilter", options.output_filter, _MAX_FILTER_CHARS),
    ):
        if text is not None and len(text) > most:
            yield f"{name} must have at most {most} characters."


def _environment_problems(options: TransformOptions) -> Iterator[str]:
    if len(options.environment) > _MAX_ENVIRONMENT:
        yield f"Environment must have at most {_MAX_ENVIRONMENT} entries."
    for name, value in options.environment.items():
        if not (name.isascii() and name.isidentifier()) or len(name) > 1024:
            yield f"Environment: {name!r} is no name of a variable."
        if len(value) > _MAX_ENVIRONMENT_CHARS:
            yield f"Environment: {name} is longer than {_MAX_ENVIRONMENT_CHARS} characters."


def _processing_problems(options: TransformOptions) -> Iterator[str]:
    content, accept = media_type(options.content_type), media_type(options.accept)
    for name, text, side, kind in (
        ("InputFilter", options.input_filter, "ContentType", content),
        ("OutputFilter", options.output_filter, "Accept", accept),
    ):
        if text == "$":
            continue
        if kind not in PROCESSED_TYPES:
            yield f"{name} needs {side} to be {', '.join(PROCESSED_TYPES[:-1])} or {PROCESSED_TYPES[-1]}."
        try:
            _check_kind(name, compile_path(text), kind)
        except PathError as error:
            yield f"{name} {text!r}: {error}."
    if options.joins:
        yield from _join_problems(options, content, accept)
    if options.processes_records:
        if options.split_type in (RECORD_IO, TF_RECORD):
            yield f"Filters and joins need SplitType None or Line, not {options.split_type}."
        if options.max_payload_in_mb == 0:
            yield "MaxPayloadInMB 0 streams whole files, which cannot be filtered or joined: set a size."


def _join_problems(options: TransformOptions, content: str, accept: str) -> Iterator[str]:
    if content not in PROCESSED_TYPES:
        yield (
            f"JoinSource Input needs ContentType to be {', '.join(PROCESSED_TYPES[:-1])} "
            f"or {PROCESSED_TYPES[-1]}."
        )
    if content != accept:
        differ = f"{accept or 'none'} is not {content or 'none'}"
        yield f"JoinSource Input needs Accept to equal ContentType ({differ})."
    if options.split_type != options.assemble_with:
        yield (
            "JoinSource Input needs AssembleWith to equal SplitType "
            f"({options.assemble_with} is not {options.split_type})."
        )


def _check_kind(name: str, path: Path, kind: str) -> None:
    if kind == CSV and not path.fits_rows:
        raise PathError(f"{name} of CSV takes columns by number, such as $[0], $[1:] or $[0,-1]")
