"""What must hold before any process starts: folders, a data folder of one's own, sound state, a free port."""

import errno
import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from service.access.key_file import open_key_file
from service.clock import SystemClock
from service.errors import NotInstalled, SagebirdError, StartupError
from service.hosting.artifacts.debris import sweep
from service.hosting.environments.beside import install_beside, listed_is_here
from service.http.door import end_listening
from service.log import get_logger
from service.objects.resolver import Resolver
from service.processes.buckets import clear_buckets
from service.processes.keeper import series_keeping
from service.settings import DEPLOYMENTS, Settings
from service.store.migrate import check_whole, upgrade_tables
from service.store.store import Store
from service.whereabouts import LOCK, find_server, told

_BACKLOG = 2048
_FOR_NOBODY_ELSE = 0o077
_READ_OR_WRITE = 0o066  # of others; they may still pass through to inbox and outbox


def check_folders(settings: Settings) -> None:
    """The models folder can be read and the data folder be written. Raises StartupError."""
    if not os.path.isdir(settings.models) or not os.access(settings.models, os.R_OK | os.X_OK):
        raise StartupError(
            f"The models folder {settings.models} is not a folder that can be read (SAGEBIRD_MODELS)."
        )
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data):
            pass
    except OSError as error:
        raise StartupError(
            f"The data folder {settings.data} cannot be written (SAGEBIRD_DATA): {error.strerror}."
        ) from None


def begin(settings: Settings) -> None:
    """See to the folders before anything else: they hold, are private, and clear of what killed ones left.

    Raises: StartupError.
    """
    check_folders(settings)
    _tell_unknown_pins(settings)
    keep_private(settings)
    unpacked = settings.data / "unpacked"
    deployments = Resolver(settings.buckets).folder(DEPLOYMENTS)
    removed = sum(map(sweep, (unpacked, *unpacked.glob("[!.]*"), *deployments.glob("*"))))
    if removed:
        get_logger("sagebird").info("unfinished folders removed", folders=removed)


def begin_beside(settings: Settings) -> None:
    """The same for who works on the state that a server made. Raises StartupError."""
    begin(settings)
    check_whole(settings.state)
    install_listed(settings)


def install_listed(settings: Settings) -> None:
    """Install what is listed beside endpoints.yaml. A server without some package serves all other models."""
    file, log = settings.listed_packages, get_logger("sagebird")
    if settings.environments == "off" or not file.is_file():
        return
    try:
        if not listed_is_here(file):
            log.info("packages are installed", listed=str(file))
            install_beside((), file, settings.wheels, lambda line: log.debug("uv", line=line))
    except NotInstalled as error:
        log.warning("packages are not installed", listed=str(file), reason=error.message)


def _tell_unknown_pins(settings: Settings) -> None:
    """Say which models are pinned that are not there: most likely a name is misspelt."""
    unknown = [name for name in settings.pinned_models if not (settings.models / name).exists()]
    if unknown:
        get_logger("sagebird").warning(
            "pinned models are not in the models folder (SAGEBIRD_PINNED_MODELS)",
            models=unknown,
            folder=str(settings.models),
        )


def prepare_state(settings: Settings, declare: Callable[[Store], object]) -> None:
    """Start from a clean slate and with the tables of this version, then declare.

    The store is closed again: children open their own. Raises StartupError.
    """
    series_keeping(settings, SystemClock()).catch_up()
    for file in (settings.data / "metrics").glob("*"):
        file.unlink()
    if settings.auth == "keys":
        open_key_file(settings.keys_secret)  # before there are several who would make it
    check_whole(settings.state)
    upgrade_tables(settings.state)
    store = Store(settings.state)
    try:
        store.forget_family()
        declare(store)
    except SagebirdError as error:
        raise StartupError(error.message) from None
    finally:
        store.close()
    clear_buckets(settings)


def keep_private(settings: Settings) -> None:
    """Let nobody but its owner read what is in the data folder, now and later, but for what others put there.

    Inbox, outbox and buckets keep the modes that their users gave them, and can be reached as before. What is
    somebody else's stays as it is, and is told.
    """
    os.umask(_FOR_NOBODY_ELSE)
    shared = {place.name for place in (settings.inbox, settings.outbox, settings.buckets)}
    own = [name for name in _entries(settings.data) if name not in shared]
    try:
        _restrict(settings.data, _READ_OR_WRITE)
        for name in own:
            _restrict(settings.data / name, _FOR_NOBODY_ELSE)
    except OSError as error:
        get_logger("sagebird").warning(
            "others may read the data folder", file=str(error.filename), reason=error.strerror
        )


def _entries(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not entry.is_symlink()]


def _restrict(path: Path, without: int) -> None:
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & without:
            path.chmod(mode & ~without)


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the data folder's lock, so that two servers never share one state. Raises StartupError."""
    path = data / LOCK
    with ExitStack() as stack:
        try:
            fcntl.flock(stack.enter_context(path.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            place = find_server(data)
            raise StartupError(
                f"Another sagebird already serves from {data}{place and f' on {place}'}: stop it, or set "
                "SAGEBIRD_DATA to another."
            ) from None
        except OSError as error:
            raise StartupError(f"{path} cannot be locked (SAGEBIRD_DATA): {error.strerror}.") from None
        yield


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket that gateways inherit, so that a dying one takes no waiting connection with it.

    Raises:
        StartupError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, TypeError) as error:  # TypeError: Python's word for what cannot be the name of a host
        listener.close()
        raise StartupError(f"Cannot listen on {host}:{port}: {_reason(error, port)}.") from None
    try:
        yield listener
    finally:
        end_listening(listener)  # also for processes that models have started, which hold it too
        listener.close()


def _reason(error: OSError | TypeError, port: int) -> str:
    if not isinstance(error, OSError):
        return "this cannot be the name of a host"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: stop what listens there, or choose another (--port, SAGEBIRD_PORT)"
    return str(error.strerror or error)


@contextmanager
def say_where(settings: Settings, url: str) -> Iterator[None]:
    """Have commands find the server by its data folder; where that cannot be, they need its address.

    Of a container's two addresses one works on either side.
    """
    urls = [settings.public_url.rstrip("/"), reachable(url)] if settings.public_url else [reachable(url)]
    with ExitStack() as stack:
        try:
            stack.enter_context(told(settings.data, urls))
        except OSError as error:
            get_logger("sagebird").warning(
                "commands do not find this server without --url", reason=str(error)
            )
        yield


def reachable(url: str) -> str:
    """The same address as a client of this machine says it: one cannot call 0.0.0.0 or [::] everywhere."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def address(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
