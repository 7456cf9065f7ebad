"""What a request needs, by method and path: what is not named here changes something, so it needs most."""

from typing import NamedTuple

from service.domain.access_keys import AccessKey, Permission
from service.wire.protocols.cbor import read_path

OPEN = frozenset({"/ping", "/healthz", "/readyz", "/client.js"})
"""Whoever asks whether a server is well is answered; and a page's script is the same everywhere."""

_OPEN_BELOW = "/static/"  # the pages' own scripts and styles: they are the same everywhere
_SAFE = ("GET", "HEAD", "OPTIONS")
_ENDPOINTS = "/endpoints/"
_MODELS = "/models/"
_INVOKE = "/invoke"
_INVOCATIONS = "/invocations"
# What is asked of an endpoint by whoever may invoke it; anything else below its name manages it.
_OF_INVOKERS = frozenset({"invocations", "async-invocations", "invocations-response-stream", "outcomes"})
_EXPERIMENT = "experiment"  # totals of all callers: their requests, errors, latencies and outcomes

# Operations of AWS's that change nothing begin so. Source: the models of botocore.
_READING = ("BatchDescribe", "Describe", "Filter", "Get", "List", "Query", "Search", "Simulate")
# Source: AWS, which asks for no permission at the first; the others give nobody more than he has.
_FREE = frozenset({"GetCallerIdentity", "AssumeRole", "GetSessionToken"})


class Need(NamedTuple):
    """One of these permissions, none where any key will do; at this endpoint, or at all of them."""

    permissions: tuple[Permission, ...]
    endpoint: str | None = None


ANY_KEY = Need(())
"""What a key may do is judged where it is known what is asked."""


def needed(method: str, path: str) -> Need | None:
    """What a request needs; None where it is open to everybody."""
    safe = method in _SAFE
    if safe and (path in OPEN or path.startswith(_OPEN_BELOW)):
        return None
    if path.startswith(_ENDPOINTS):
        return _needed_at_endpoint(safe, path)
    if method == "POST":
        if path == "/" or read_path(path):
            return ANY_KEY
        invokes = path == _INVOCATIONS or (path.startswith(_MODELS) and path.endswith(_INVOKE))
        return Need((Permission.INVOKE if invokes else Permission.MANAGE,))
    return Need((Permission.READ if safe else Permission.MANAGE,))


def needed_at_objects(method: str) -> Need:
    """What a request of S3 needs, whatever its path looks like: buckets may have any name."""
    return Need((Permission.READ if method in _SAFE else Permission.MANAGE,))


def _needed_at_endpoint(safe: bool, path: str) -> Need:
    """Whoever may invoke an endpoint may see what it takes, not what all others were answered.

    What holds a slash is no name, and of no pattern.
    """
    name, _, action = path.removeprefix(_ENDPOINTS).rpartition("/")
    if not name:
        name, action = action, ""
    endpoint = None if "/" in name else name
    if safe and action == _EXPERIMENT:
        return Need((Permission.READ,))
    if safe:
        return Need((Permission.INVOKE, Permission.READ), endpoint)
    return Need((Permission.INVOKE,), endpoint) if action in _OF_INVOKERS else Need((Permission.MANAGE,))


def needed_for(operation: str) -> Need:
    """What an operation of AWS's control plane needs."""
    if operation in _FREE:
        return ANY_KEY
    return Need((Permission.READ if operation.startswith(_READING) else Permission.MANAGE,))


def permits(key: AccessKey, need: Need) -> bool:
    """Whether a key is good for what is needed."""
    covers = key.covers_all if need.endpoint is None else key.covers(need.endpoint)
    return not need.permissions or (covers and any(map(key.allows, need.permissions)))
