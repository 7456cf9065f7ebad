"""Reads the endpoints files: YAML -> checked values. Every mistake is named with its place in its file."""

import io
import math
import os
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import yaml

from service.errors import StartupError
from service.media.types import ARCHIVES
from service.objects.beneath import Spot

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_NO_NAME = re.compile(r"[^a-zA-Z0-9]+")
_MISSING: Any = object()
_MOST_BYTES = 1 << 20
_FILE_KEYS = {"default_endpoint", "endpoints"}
_YAML_INT = "tag:yaml.org,2002:int"
_LONGEST_NUMBER = 100
_YAML_ERRORS = (  # besides its own errors PyYAML lets through what Python says of a value, as of 2024-13-01
    yaml.YAMLError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_VARIANT_KEYS = {"model", "models", "weight", "lazy", "pin", "environment"}


class DeclarationError(StartupError):
    """The endpoints file cannot be used; the sentence says where and why."""


@dataclass(frozen=True, slots=True)
class DeclaredVariant:
    """One variant: a model's folder or archive, or a folder of models when `multi`."""

    name: str
    path: Path
    multi: bool
    weight: float
    lazy: bool
    pin: bool
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the endpoints file asks for: the variants of each endpoint, and the default endpoint.

    `api_edits` names the endpoints that the API may change as well. `absent`: there is no file; `implied`:
    nobody wrote this down, so where somebody made an endpoint of a name, that one keeps it. `notices` are
    sentences for whoever looks after the server.
    """

    endpoints: Mapping[str, tuple[DeclaredVariant, ...]]
    default_endpoint: str | None = None
    api_edits: frozenset[str] = frozenset()
    implied: bool = False
    absent: bool = False
    notices: tuple[str, ...] = ()


def local_of(file: Path) -> Path:
    """The file beside the endpoints file that has endpoints of one's own: endpoints.local.yaml."""
    return file.with_name(f"{file.stem}.local{file.suffix}")


def read_declaration(file: Path, models: Path) -> Declaration:
    """Read and check the endpoints file and the local one beside it, whose endpoints win.

    Paths in them are relative to `models`.

    Raises:
        DeclarationError: the first mistake, with its place.
    """
    reader, own = _Reader(file, models), _Reader(local_of(file), models, is_local=True)
    shared_document, own_document = _load(reader.file), _load(own.file)
    if shared_document is _MISSING and own_document is _MISSING:
        return Declaration({}, absent=True)
    shared = reader.declaration({} if shared_document is _MISSING else shared_document)
    return shared if own_document is _MISSING else own.declaration(own_document, shared)


def imply(file: Path, models: Path, names: Iterable[str]) -> Declaration:
    """What is served while there is no endpoints file: each of these models, under its name if that can be.

    The API may change it, as nobody has declared it.
    """
    endpoints: dict[str, tuple[DeclaredVariant, ...]] = {}
    notices = []
    for model in (name for name in names if "/" not in name):
        stem = next((model.removesuffix(end) for end in ARCHIVES if model.endswith(end)), model)
        name = _NO_NAME.sub("-", stem).strip("-")[:63].rstrip("-")
        path = _find_model(models / model, multi=False)
        if not name or name in endpoints or path is None:
            notices.append(f"The model {_shown(model)} is not served: no endpoint can have its name.")
            continue
        endpoints[name] = (DeclaredVariant("AllTraffic", path, False, 1.0, False, False, {}),)
    served = (
        f"There is no {file}, so each model in {models} is served under its name. Write one for other names, "
        "weights and variants; `sagebird deploy PATH --name NAME` serves more."
    )
    nothing = (
        f"There is no {file} and no model in {models}. Put a model's folder there, with its model.joblib, or "
        "serve one from elsewhere: `sagebird deploy PATH --name NAME`."
    )
    only = next(iter(endpoints)) if len(endpoints) == 1 else None
    notices.insert(0, served if endpoints else nothing)
    return Declaration(endpoints, only, frozenset(endpoints), implied=True, notices=tuple(notices))


def _load(file: Path) -> Any:
    """The document of a file, `_MISSING` if there is no such file. Raises DeclarationError."""
    try:
        with os.fdopen(Spot(file.absolute(), links=True).open(), "rb") as stream:  # a pipe would wait
            found = stream.read(_MOST_BYTES + 1)
        text = found.decode()
    except FileNotFoundError:
        return _MISSING
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{file} cannot be read: {error}") from None
    if len(found) > _MOST_BYTES:
        raise DeclarationError(f"{file} is larger than {_MOST_BYTES >> 20} MiB.")
    try:
        return yaml.load(_Named(text, file.name), _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except _YAML_ERRORS as error:
        raise DeclarationError(f"{file} is not valid YAML: {_one_line(error)}") from None


class _Named(io.StringIO):
    """A file's text with the name that is said of its mistakes."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


class _Loader(yaml.SafeLoader):
    """YAML without two traps: a second key that silently wins over the first, and numbers without end."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:  # before merge keys (<<) are resolved: what those bring may be overridden
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"{key.value!r} is there twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if node.tag == _YAML_INT and len(value) > _LONGEST_NUMBER:
            raise yaml.MarkedYAMLError(problem="a number is too long", problem_mark=node.start_mark)
        return value


@dataclass(frozen=True, slots=True)
class _Reader:
    file: Path
    models: Path
    is_local: bool = False

    def declaration(self, document: Any, shared: Declaration | None = None) -> Declaration:
        """What the file declares, beside what another one does: the same names are this one's."""
        top = self._mapping(document, "the file", _FILE_KEYS)
        named = self._mapping(top.get("endpoints"), "endpoints")
        gone = {name for name, body in named.items() if self.is_local and body is None}
        own = {
            self._name(name, f"endpoints.{name}"): self._endpoint(body, f"endpoints.{name}")
            for name, body in named.items()
            if name not in gone
        }
        api_edits = {name for name in own if self._is_editable(name, named[name])}
        endpoints = dict(own)
        if shared is not None:
            kept = {name: each for name, each in shared.endpoints.items() if name not in named}
            endpoints = kept | own
            api_edits |= shared.api_edits & kept.keys()
        there = shared.endpoints if shared is not None else {}
        notices = tuple(
            f"{self.file} takes {_shown(name)} away, but no endpoint of that name is declared."
            for name in sorted(gone - there.keys(), key=str)
        )
        default = self._default(top, endpoints, shared)
        return Declaration(endpoints, default, frozenset(api_edits), notices=notices)

    def _default(
        self, top: Mapping[Any, Any], endpoints: Mapping[str, Any], shared: Declaration | None
    ) -> str | None:
        if shared is not None and "default_endpoint" not in top:
            return shared.default_endpoint if shared.default_endpoint in endpoints else None
        default = top.get("default_endpoint")
        if default is not None and not (isinstance(default, str) and default in endpoints):
            known = ", ".join(endpoints) or "none is declared"
            self._refuse("default_endpoint", f"{_shown(default)} is not one of the endpoints ({known})")
        return default

    def _endpoint(self, body: Any, place: str) -> tuple[DeclaredVariant, ...]:
        mapping = self._mapping(body, place, {"variants", "api_edits"})
        named = self._mapping(mapping.get("variants"), f"{place}.variants")
        if not 1 <= len(named) <= 10:
            self._refuse(f"{place}.variants", f"must have 1 to 10 variants (has {len(named)})")
        variants = tuple(
            self._variant(name, variant, f"{place}.variants.{name}") for name, variant in named.items()
        )
        if not any(variant.weight for variant in variants):
            self._refuse(f"{place}.variants", "every weight is 0, so nothing would get the traffic")
        if len({variant.multi for variant in variants}) > 1:
            self._refuse(
                f"{place}.variants", "mixes `model` and `models`: callers either name a model or they do not"
            )
        return variants

    def _is_editable(self, name: str, body: Any) -> bool:
        place = f"endpoints.{name}"
        return self._flag(self._mapping(body, place).get("api_edits", False), f"{place}.api_edits")

    def _variant(self, name: Any, body: Any, place: str) -> DeclaredVariant:
        mapping = self._mapping(body, place, _VARIANT_KEYS)
        if ("model" in mapping) == ("models" in mapping):
            self._refuse(place, "must have either `model` (one model) or `models` (a folder of models)")
        multi = "models" in mapping
        key = "models" if multi else "model"
        return DeclaredVariant(
            self._name(name, place),
            self._path(mapping[key], multi, f"{place}.{key}"),
            multi,
            self._weight(mapping.get("weight", 1.0), f"{place}.weight"),
            self._flag(mapping.get("lazy", False), f"{place}.lazy"),
            self._flag(mapping.get("pin", False), f"{place}.pin"),
            self._environment(mapping.get("environment"), f"{place}.environment"),
        )

    def _path(self, value: Any, multi: bool, place: str) -> Path:
        if not isinstance(value, str) or not value:
            self._refuse(place, f"must be a path below the models folder (is {_shown(value)})")
        try:
            found = _find_model(self.models / value, multi)
            inside = found is None or found.is_relative_to(self.models.resolve())
        except (OSError, ValueError, RuntimeError) as error:  # too long a name, a NUL, links in a circle
            self._refuse(place, f"{value!r} cannot be a path: {error}")
        if not inside:
            self._refuse(place, f"{value!r} lies outside of the models folder {self.models}")
        if found is None:
            self._refuse(place, f"there is no {'folder' if multi else 'model'} {value!r} in {self.models}")
        return found

    def _weight(self, value: Any, place: str) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or value < 0:
            self._refuse(place, f"must be a number of at least 0 (is {_shown(value)})")
        return float(value)

    def _flag(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            self._refuse(place, f"must be true or false (is {_shown(value)})")
        return value

    def _environment(self, value: Any, place: str) -> Mapping[str, str]:
        mapping = self._mapping(value, place)
        for name, text in mapping.items():
            if not isinstance(name, str) or not isinstance(text, str | int | float | date):
                # Not the value: it may be a password, and this is shown on the page.
                self._refuse(place, f"must have lines as NAME: value (see {_shown(name)})")
        return {
            name: "true" if text is True else "false" if text is False else str(text)
            for name, text in mapping.items()
        }

    def _name(self, value: Any, place: str) -> str:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            hint = "" if isinstance(value, str) else "; quotes make a text of it"
            self._refuse(
                place, f"a name has 1 to 63 letters, digits and inner hyphens (is {_shown(value)}{hint})"
            )
        return value

    def _mapping(self, value: Any, place: str, keys: set[str] | None = None) -> dict[Any, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._refuse(place, f"must be a mapping (is {_shown(value)})")
        for key in value:
            if keys is not None and key not in keys:
                self._refuse(place, f"does not know {_shown(key)}; it may have {', '.join(sorted(keys))}")
        return value

    def _refuse(self, place: str, reason: str) -> NoReturn:
        raise DeclarationError(f"{self.file}: {place}: {reason}.")


def _find_model(path: Path, multi: bool) -> Path | None:
    """The folder at `path`, or unless `multi` the archive there, its ending given or not; links resolved."""
    if path.is_dir():
        return path.resolve()
    archives = [] if multi else [path, *(Path(f"{path}{ending}") for ending in ARCHIVES)]
    return next((archive.resolve() for archive in archives if archive.is_file()), None)


def _shown(value: Any) -> str:
    """A value as a sentence shows it: short, however much the file holds."""
    return reprlib.repr(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
