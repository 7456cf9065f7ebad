"""The endpoints files as ordinary resources, made through the same functions as the API's.

AWS's configurations never change once made, so names carry a hash of what they hold: the same declaration
gives the same names, and a changed one gives a new configuration that an update moves the endpoint to.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

from service.control.declaration import (
    Declaration,
    DeclarationError,
    DeclaredVariant,
    imply,
    local_of,
    read_declaration,
)
from service.control.deployables import features_of, variants_of
from service.control.endpoints import (
    CONFIG,
    create_endpoint,
    endpoint_of,
    prepare_fleet,
    remove_endpoint,
    save_endpoint,
)
from service.control.history import note_change
from service.control.resources import OperationContext, Resources
from service.control.versions import Versions
from service.domain.endpoint import EndpointStatus, Fleet, Variant
from service.domain.image import BUILT_IN
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.log import get_logger
from service.store.reading import KnownReading
from service.store.store import DEFAULT_ENDPOINT, EDITABLE_ENDPOINTS, NOTICES, Store, View

DECLARED_CONFIGS = "declared_configs"
"""The fact that maps each declared endpoint to its configuration as it was declared last."""

_CHANGING = (EndpointStatus.CREATING, EndpointStatus.UPDATING)
_Stamp = tuple[object, ...]
_NEVER = (0, 0, 0)
_PAUSE = 50  # times what a look at many files took, until the next one


class _NoFile(DeclarationError):
    """There is no file where one was named; without the usual one models have their own names."""


class DeclaredFile:
    """Watches the endpoints file, the local one beside it and the models that they declare.

    `look` applies them when one of these changed: another version of a model is an update of its endpoint.
    """

    def __init__(
        self,
        file: Path,
        models: Path,
        store: Store,
        context: OperationContext,
        names: Callable[[], list[str]] | None = None,
        *,
        settle_s: float = 0.0,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        """`names` lists the models that are served while there is neither file; without it one must be there.

        `scanned` is what it gave last. A change counts once nothing more changed for `settle_s`: whoever
        writes a file in its place empties it first, and what is read meanwhile declares too little. That
        holds for each model by itself: one whose code writes into its own folder holds up no other.
        """
        self._file = file
        self._models = models
        self._store = store
        self._context = context
        self._names = names
        self.scanned: tuple[str, ...] = ()
        self._next_scan_s = 0.0
        self._declared: tuple[Path, ...] = ()  # single models, as they were declared last
        self._pending = KnownReading(store, _pending)
        self._versions = Versions(context, self._loading, settle_s, monotonic)
        self._next_versions_s = 0.0
        self._settle_s = settle_s
        self._monotonic = monotonic
        self._met: tuple[_Stamp, float] = (_NEVER, 0.0)  # the last stamp, and since when it is so
        self._seen: _Stamp = _NEVER
        self._refused: tuple[_Stamp, str] | None = None
        self._log = get_logger("sagebird.declared")

    def apply(self) -> list[str]:
        """Apply the files as they are now; returns what changed, a few words each.

        Raises:
            DeclarationError: one is wrong, or the one that was named is not there; nothing was changed.
        """
        stamp = self._stamp()
        return self._make_so(stamp, self._read())

    def _read(self) -> Declaration:
        declaration = read_declaration(self._file, self._models)
        if declaration.absent and self._names is None:
            raise _NoFile(f"There is no endpoints file {self._file}, which SAGEBIRD_ENDPOINTS names.")
        return imply(self._file, self._models, self.scanned) if declaration.absent else declaration

    def _make_so(self, stamp: _Stamp, declaration: Declaration) -> list[str]:
        changes = apply_declaration(declaration, self._store, self._context)
        self._seen = stamp
        single = {each.path for each in chain(*declaration.endpoints.values()) if not each.multi}
        self._declared = tuple(sorted(single))
        return changes

    def begin(self) -> None:
        """Apply the file at the start of the server.

        A mistake leaves what was declared last time, as it does while the server runs.

        Raises:
            DeclarationError: the file is wrong, and nothing was declared before; or it was named and is not
                there, which is a slip of whoever starts this.
        """
        try:
            self.apply()
        except _NoFile:
            raise
        except DeclarationError as error:
            if not self._store.fact(DECLARED_CONFIGS):
                raise
            self._note_refusal(error)

    def look(self) -> None:
        """Apply the file if it, or a model, changed since then; a bad edit changes nothing and is logged.

        A refused file is tried again at every look: the model that it names may turn up later.
        """
        stamp = self._stamp()
        if (stamp == self._seen and self._refused is None) or not self._is_settled(stamp):
            return
        try:
            declaration = self._read()
            if not self._is_settled(self._stamp()):  # it was written over meanwhile
                return
            changes = self._make_so(stamp, declaration)
        except DeclarationError as error:
            if self._refused != (stamp, error.message):
                self._log.error("endpoints file refused, nothing was changed", reason=error.message)
                self._note_refusal(error)
            self._refused = (stamp, error.message)
        else:
            if changes:
                self._log.info("endpoints file applied", changes=changes)
            self._refused = None

    def _is_settled(self, stamp: _Stamp) -> bool:
        now_s = self._monotonic()
        if stamp[1:] != self._met[0]:
            self._met = stamp[1:], now_s
        return now_s - self._met[1] >= self._settle_s

    def _note_refusal(self, error: DeclarationError) -> None:
        with self._store.change() as change:
            change.put_fact(NOTICES, [f"The endpoints file is refused, nothing was changed: {error.message}"])

    def _stamp(self) -> _Stamp:
        stamp = self._versions_now(), _stamp_of(self._file), _stamp_of(local_of(self._file))
        if any(stamp[1:]) or self._names is None:
            return stamp
        if (begun_s := monotonic()) >= self._next_scan_s:
            self.scanned = tuple(self._names())
            self._next_scan_s = monotonic() + _PAUSE * (monotonic() - begun_s)
        return *stamp, self.scanned

    def _versions_now(self) -> tuple[str, ...]:
        """The versions of the declared models that have settled, where a change of them is an update."""
        if self._context.reloads and (begun_s := monotonic()) >= self._next_versions_s:
            self._versions.look(self._declared)
            self._next_versions_s = monotonic() + _PAUSE * (monotonic() - begun_s)
        elif self._context.reloads:
            self._versions.note_loads()
        return self._versions.settled()

    def _loading(self) -> set[str]:
        return self._pending.get()[1]


def _pending(view: View) -> set[str]:
    """Where the models lie that declared endpoints are to go over to."""
    changing = view.of_kind(Kind.ENDPOINT, _CHANGING, declared=True)
    pending = [fleet for fleet in (endpoint_of(each).pending for each in changing) if fleet is not None]
    return {
        part.location.rstrip("/")
        for fleet in pending
        for variant in fleet.variants
        for part in variant.source.parts
    }


def _stamp_of(file: Path) -> _Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def apply_declaration(declaration: Declaration, store: Store, context: OperationContext) -> list[str]:
    """Make the declared resources what the declaration says, all at once; returns what changed.

    An endpoint that the API may change is only touched when its declaration is another than last time. Then
    it is the file's again, also where the API has deleted it and made it anew.

    Raises:
        DeclarationError: an endpoint of that name was made by somebody else.
    """
    changes: list[str] = []
    with store.change() as change:
        resources = Resources(change, context)
        before: Mapping[str, str] = change.fact(DECLARED_CONFIGS) or {}
        lent = before.keys() & set(change.fact(EDITABLE_ENDPOINTS) or ())
        configs: dict[str, str] = {}
        kept: set[tuple[Kind, str]] = set()
        for name, variants in declaration.endpoints.items():
            if declaration.implied and name not in lent and _is_somebodys(resources, name):
                continue
            config = configs[name] = _declare_config(resources, name, variants, kept)
            if not (name in declaration.api_edits and before.get(name) == config):
                changes += _declare_endpoint(resources, name, config, lent=name in lent)
            kept.add((Kind.ENDPOINT, name))
        for kind in (Kind.ENDPOINT, Kind.ENDPOINT_CONFIG, Kind.MODEL):
            for resource in resources.all(kind):
                if resource.declared and (kind, resource.name) not in kept:
                    changes += _withdraw(resources, resource)
        change.put_fact(DECLARED_CONFIGS, configs)
        change.put_fact(EDITABLE_ENDPOINTS, sorted(declaration.api_edits))
        change.put_fact(NOTICES, list(declaration.notices))
        if change.fact(DEFAULT_ENDPOINT) != declaration.default_endpoint:
            change.put_fact(DEFAULT_ENDPOINT, declaration.default_endpoint)
            changes.append(f"default endpoint is {declaration.default_endpoint or 'no longer declared'}")
    return changes


def _is_somebodys(resources: Resources, name: str) -> bool:
    found = resources.find(Kind.ENDPOINT, name)
    return found is not None and not found.declared


def _declare_config(
    resources: Resources, endpoint: str, variants: tuple[DeclaredVariant, ...], kept: set[tuple[Kind, str]]
) -> str:
    production_variants = [
        {
            "VariantName": variant.name,
            "ModelName": _declare_model(resources, endpoint, variant, kept),
            "InitialInstanceCount": 1,
            "InstanceType": "local",
            "InitialVariantWeight": variant.weight,
        }
        for variant in variants
    ]
    extras = {variant.name: {"lazy": variant.lazy, "pin": variant.pin} for variant in variants}
    name = _hashed_name(endpoint, {"variants": production_variants, "extras": extras})
    kept.add((Kind.ENDPOINT_CONFIG, name))
    _ensure(
        resources,
        Kind.ENDPOINT_CONFIG,
        {"EndpointConfigName": name, "ProductionVariants": production_variants},
        extras,
    )
    return name


def _declare_model(
    resources: Resources, endpoint: str, variant: DeclaredVariant, kept: set[tuple[Kind, str]]
) -> str:
    container: dict[str, Any] = {
        "Image": BUILT_IN,
        "Mode": "MultiModel" if variant.multi else "SingleModel",
        "ModelDataUrl": variant.path.as_uri() + ("/" if variant.path.is_dir() else ""),
        "Environment": dict(variant.environment),
    }
    name = _hashed_name(f"{endpoint[:24]}-{variant.name[:24]}", container)
    kept.add((Kind.MODEL, name))
    _ensure(resources, Kind.MODEL, {"ModelName": name, "PrimaryContainer": container})
    return name


def _ensure(
    resources: Resources, kind: Kind, document: Mapping[str, Any], state: Mapping[str, Any] | None = None
) -> None:
    if resources.find(kind, document[kind.row.name]) is not None:
        return  # the name holds a hash of the content
    resource = resources.create(kind, document, declared=True)
    if state:
        resources.put(replace(resource, state=state))


def _declare_endpoint(resources: Resources, name: str, config_name: str, *, lent: bool) -> list[str]:
    """`lent`: the API could change it until now, so that whatever has its name comes from the file's own."""
    resource = resources.find(Kind.ENDPOINT, name)
    if resource is not None and resource.status == EndpointStatus.DELETING:
        resources.delete(Kind.ENDPOINT, name)
        resource = None
    if resource is None:
        create_endpoint(resources, {"EndpointName": name, CONFIG: config_name}, declared=True)
        return [f"endpoint {name} created"]
    if not resource.declared and lent:
        resource = save_endpoint(
            resources, replace(resource, declared=True), replace(endpoint_of(resource), heals=True)
        )
    if not resource.declared:
        raise DeclarationError(
            f"Endpoint {name} already exists and was made by the API: delete it or rename yours."
        )
    endpoint = endpoint_of(resource)
    config = resources.get(Kind.ENDPOINT_CONFIG, config_name)
    variants = variants_of(resources, config)
    pending = endpoint.pending
    if (
        pending is not None
        and pending.config_name == config_name
        and _same_models(pending.variants, variants)
    ):
        return []
    if endpoint.pending or not endpoint.active or not _same_models(endpoint.active.variants, variants):
        prepare_fleet(resources, resource, config, variants)
        return [f"endpoint {name} updated"]
    active = endpoint.active
    fleet = Fleet(config_name, active.generation, variants, active.begun_at, **features_of(config)).after(
        active
    )
    failed = endpoint.status is EndpointStatus.FAILED
    reweighed = replace(endpoint, active=fleet, failure_reason=endpoint.failure_reason if failed else "")
    if reweighed == endpoint:
        return []
    save_endpoint(resources, resource, reweighed)
    note_change(resources, name, active, fleet, "the endpoints file")
    if fleet == endpoint.active:
        return [f"endpoint {name}: the update that failed is withdrawn"]
    return [f"endpoint {name}: new weights"]


def _withdraw(resources: Resources, resource: Resource) -> list[str]:
    if resource.status == EndpointStatus.DELETING:
        return []
    if resource.kind is Kind.ENDPOINT:
        remove_endpoint(resources, resource)
        return [f"endpoint {resource.name} deleted"]
    resources.delete(resource.kind, resource.name)
    return []


def _same_models(before: tuple[Variant, ...], now: tuple[Variant, ...]) -> bool:
    """Whether the variants differ in their weights at most."""
    return len(before) == len(now) and all(map(_is_same, before, now))


def _is_same(before: Variant, now: Variant) -> bool:
    version = now.source.version or before.source.version  # files that are away for now are as they were
    return replace(before, weight=0.0) == replace(
        now, weight=0.0, source=replace(now.source, version=version)
    )


def _hashed_name(stem: str, content: Any) -> str:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return f"{stem[:50].rstrip('-')}-{digest}"
