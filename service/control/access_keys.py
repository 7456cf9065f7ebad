"""Access keys in the store: made, listed, taken back. Whoever answers calls follows them there."""

from service.domain.access_keys import CODEC, AccessKey, KeyDocuments
from service.errors import ResourceLimitExceeded, ResourceNotFound
from service.store.store import ACCESS_KEYS, Store, View

_MOST = 10_000
_KEPT_S = 90 * 24 * 3600.0  # how long one is listed that is good for nothing any more


def add_access_key(store: Store, key: AccessKey) -> None:
    """Keep a new key. Raises ResourceLimitExceeded: there are as many as there can be."""
    with store.change() as change:
        kept = {
            id_: document
            for id_, document in _documents(change).items()
            if not _is_old(document, key.created_at)
        }
        if len(kept) >= _MOST:
            raise ResourceLimitExceeded(f"There are {_MOST} keys: revoke some first.")
        change.put_fact(ACCESS_KEYS, {**kept, key.id: CODEC.write(key)})


def list_access_keys(store: Store) -> list[AccessKey]:
    """All keys, the newest first; those too that were taken back or have expired not long ago."""
    with store.view() as view:
        keys = [CODEC.read(document) for document in _documents(view).values()]
    return sorted(keys, key=lambda key: (-key.created_at, key.id))


def revoke_access_key(store: Store, key_id: str, now_s: float) -> AccessKey:
    """Take a key back, which may have been done before. Raises ResourceNotFound."""
    with store.change() as change:
        documents = _documents(change)
        if key_id not in documents:
            raise ResourceNotFound(f"There is no key {key_id}.")
        document = documents[key_id]
        if document.get("revoked_at") is None:
            document = {**document, "revoked_at": now_s}
            change.put_fact(ACCESS_KEYS, {**documents, key_id: document})
    return CODEC.read(document)


def _documents(view: View) -> KeyDocuments:
    found: KeyDocuments = view.fact(ACCESS_KEYS) or {}
    return found


def _is_old(document: object, now_s: float) -> bool:
    key = CODEC.read(document)  # type: ignore[arg-type]
    ends = [end for end in (key.expires_at, key.revoked_at) if end is not None]
    return bool(ends) and min(ends) < now_s - _KEPT_S
