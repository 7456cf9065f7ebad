"""What keeps an answer of a model from running as one of this server's own pages.

A handler may answer HTML. A browser that is led to open such an answer would run its scripts as if they were
ours, and those may call the control plane. So an answer that a browser could take for a document is shown in
a sandbox: without scripts, and of no origin. Programs do not care. Answers of the usual types have no such
lines: no browser takes them for documents, and each call would pay for the bytes.
"""

from functools import lru_cache

_HARMLESS = frozenset(
    {
        "application/json",
        "application/jsonlines",
        "application/octet-stream",
        "application/x-jsonlines",
        "application/x-npy",
        "application/x-recordio-protobuf",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
    }
)
_KNOWN = 1024
_SANDBOX = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)


@lru_cache(_KNOWN)
def sandbox(content_type: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that an answer of this type needs beside its own.

    Without a type, and of several the last, browsers decide for themselves what it is.
    Source: the Fetch standard, "extract a MIME type"; the MIME Sniffing standard.
    """
    name = (content_type or "").partition(";")[0].strip().lower()
    return () if name in _HARMLESS and "," not in (content_type or "") else _SANDBOX
