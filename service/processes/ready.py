"""The last line of a start: everything declared is up, or failed; and a call to try."""

import sys
from shlex import quote

from service import __version__
from service.control.declared import DECLARED_CONFIGS
from service.control.endpoints import endpoint_of
from service.domain.endpoint import UNSETTLED, EndpointStatus
from service.domain.kinds import Kind
from service.errors import ModelFault
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.examples import example_call
from service.store.store import DEFAULT_ENDPOINT, Store, View

_UNDER_WAY = tuple(status for status in UNSETTLED if status is not EndpointStatus.FAILED)
_LONGEST = 200


class Welcome:
    """Waits until a server is ready, and says so once."""

    def __init__(self, store: Store, url: str, gateways: int, artifacts: ArtifactStore) -> None:
        """`url` is where people reach it, `gateways` how many must have reported."""
        self._store = store
        self._url = url
        self._gateways = gateways
        self._artifacts = artifacts
        self._said = False

    def look(self) -> None:
        """Say it, if it is so."""
        if self._said or len(self._store.gateways()) < self._gateways:
            return
        with self._store.view() as view:
            if view.of_kind(Kind.ENDPOINT, _UNDER_WAY):
                return
            line = self._line(view)
        self._said = True
        sys.stderr.write(f"sagebird {__version__} is ready on {self._url} {line}\n")
        sys.stderr.flush()

    def _line(self, view: View) -> str:
        failed = [resource.name for resource in view.of_kind(Kind.ENDPOINT, (EndpointStatus.FAILED,))]
        if failed:
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            return f"(failed: {failed[0]}{more}; `sagebird endpoints` says why)"
        name = view.fact(DEFAULT_ENDPOINT) or next(iter(view.fact(DECLARED_CONFIGS) or ()), None)
        if name is None:
            return "(nothing is served yet: `sagebird deploy PATH --name NAME` serves a model)"
        return f"(try: {self._call(view, name) or f'sagebird invoke {name}'})"

    def _call(self, view: View, name: str) -> str | None:
        """A curl command that works, None if it would not be one short line."""
        resource = view.get(Kind.ENDPOINT, name)
        active = endpoint_of(resource).active if resource is not None else None
        source = None if active is None else active.variants[0].source
        if source is None or source.takes_target or source.direct:
            return None
        try:
            example = example_call(self._artifacts.resolve(source.parts[0].location, asking=False))
        except (ModelFault, OSError):
            return None
        if example is None or example.content_type is None:
            return None
        body = example.body.decode("utf-8", "replace").strip()
        if not body.isprintable() or len(body) > _LONGEST:
            return None
        header = quote(f"Content-Type: {example.content_type}")
        return f"curl {self._url}/endpoints/{name}/invocations -H {header} -d {quote(body)}"
