"""Names of servers and origins of web pages: read, brought into one form, compared. Nothing is looked up."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

ANY = "*"
"""What stands for every name or origin in a setting."""

IpAddress = IPv4Address | IPv6Address

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})
_NO_PAGES = frozenset(
    {"ftp", "ftps", "sftp", "ws", "wss", "data", "blob", "about", "javascript", "mailto", "s3"}
)
_HIGHEST_PORT = 65535
_QUOTES = ("'", '"', "`")


def read_origin(text: str) -> str:
    """An origin as browsers write it: `HTTP://LocalHost:80/` is `http://localhost`; `*` stays.

    Raises:
        ValueError: it is none, in a sentence that says how it is written.
    """
    if text == ANY:
        return ANY
    _check_quotes(text)
    if len(several := text.replace(";", " ").split()) > 1:
        raise ValueError(f"several are separated by commas, as in {','.join(several)}")
    lowered = text.lower()
    if lowered == "null" or lowered.startswith("file:"):
        raise ValueError(
            "pages that are opened from a file, and any page that hides where it comes from, have the origin "
            "null; serve the page (python3 -m http.server 3000) and allow http://localhost:3000, or allow *"
        )
    scheme, found, rest = lowered.partition("://")
    if not found or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"an origin begins with http:// or https://, as http://{text.strip('/')}")
    if scheme in _NO_PAGES:
        raise ValueError(
            f"no page that asks has an origin of {scheme}://; one begins with http:// or https://, or "
            "with the scheme of an app or an extension"
        )
    authority = rest.removesuffix("/")
    if any(mark in authority for mark in "/?#@"):
        host = re.split("[/?#@]", rest)[0]
        raise ValueError(
            f"an origin has no path, query or user, only scheme, host and port: {scheme}://{host}"
        )
    name, port = _split(authority)
    if name is None or "*" in authority:
        raise ValueError(
            "an origin is written as http://localhost:3000; each is named by itself, or * for any"
        )
    at_port = "" if port is None or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{_bracketed(name)}{at_port}"


def read_host_pattern(text: str) -> str:
    """A host as a setting allows it: a name, an address, `*.example.com` for all names below, `*` for any.

    A port is left out: servers are often reached by another one than their own.

    Raises:
        ValueError: it is none of these.
    """
    if text == ANY:
        return ANY
    _check_quotes(text)
    below, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    found = str(ip) if (ip := read_ip(name)) is not None else _split(name)[0]
    if found is None or (below and read_ip(found) is not None):
        raise ValueError(
            "a host is a name or an address without scheme and path, as models.example.com, "
            "*.example.com for all names below, or * for any; several are separated by commas"
        )
    return below + found


def host_name(header: str) -> str | None:
    """The name or address in a Host header, in one form and without its port; None if there is none."""
    return _split(header)[0]


def read_ip(text: str) -> IpAddress | None:
    """The address that a text is, brackets or not; None if it is a name."""
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def is_loopback(name: str) -> bool:
    """Whether a name in one form, see `host_name`, always is this machine."""
    ip = read_ip(name)
    if ip is None:
        return name == "localhost" or name.endswith(".localhost")
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def is_unspecified(name: str) -> bool:
    """Whether a text stands for every address of a machine, as 0.0.0.0, :: and nothing do."""
    ip = read_ip(name)
    return not name or (ip is not None and ip.is_unspecified)


def same_place(origin: str, host: str) -> bool:
    """Whether an origin's page was loaded by the name and port of a Host header.

    Schemes are not compared: in front of this server a proxy may speak https.
    """
    scheme, _, authority = origin.lower().partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    name, port = _split(authority)
    other, other_port = _split(host)
    return name is not None and (name, port or default) == (other, other_port or default)


def _check_quotes(text: str) -> None:
    """Refuse what has the quotes of a shell or a file around it. Raises ValueError."""
    if text.startswith(_QUOTES) or text.endswith(_QUOTES):
        raise ValueError("the quotes are part of the value here: write it without them")


def _split(authority: str) -> tuple[str | None, int | None]:
    """Name or address in one form, and port; no name where it cannot be one."""
    match = _AUTHORITY.fullmatch(authority.strip())
    if match is None:
        return None, None
    text, digits = match[1], match[2]
    port = int(digits) if digits and _PORT.fullmatch(digits) else None
    if (digits and port is None) or (port is not None and port > _HIGHEST_PORT):
        return None, None
    return _one_form(text), port


def _one_form(text: str) -> str | None:
    if text.startswith("["):
        ip = read_ip(text)
        return str(ip) if isinstance(ip, IPv6Address) else None
    name = text.lower().removesuffix(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return name if _NAME.fullmatch(name) else None


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name
