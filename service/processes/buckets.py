"""The buckets of a server: its face of S3, and what killed processes left of objects that they wrote."""

from service.clock import SystemClock
from service.control.s3.context import S3Context
from service.control.s3.table import S3Operations
from service.domain.caller import Caller
from service.faces.aws.s3 import S3Face
from service.faces.aws.s3_front import S3Front
from service.http.asgi import App
from service.object_settings import copies_in
from service.objects.buckets.buckets import Buckets
from service.objects.buckets.uploads import Uploads
from service.objects.s3.client import check_server
from service.objects.s3.copies import clear_copies
from service.settings import DEPLOYMENTS, Settings
from service.wire.protocols.s3 import S3Protocol
from service.wire.spec import load_service


def s3_face(settings: Settings, caller: Caller) -> App | None:
    """The face of buckets, for one process; None where they are not served."""
    if settings.s3 == "off":
        return None
    bases = [name.removeprefix("*.") for name in settings.allowed_hosts if name.startswith("*.")]
    if settings.s3_server is not None:
        return S3Front(settings.s3_server, SystemClock(), bases, [DEPLOYMENTS])
    buckets = _open_buckets(settings)
    operations = S3Operations(S3Context(buckets, Uploads(buckets), caller))
    return S3Face(_load_s3, operations, buckets.has, bases)


def clear_buckets(settings: Settings) -> None:
    """Remove what killed processes left of objects that they were writing; nobody may be writing any."""
    buckets = _open_buckets(settings)
    buckets.clear()
    Uploads(buckets).clear()
    clear_copies(copies_in(settings.data))
    if settings.s3_server is not None:
        check_server(settings.s3_server)


def _open_buckets(settings: Settings) -> Buckets:
    return Buckets(settings.buckets, settings.bucket_details, [DEPLOYMENTS])


def _load_s3() -> S3Protocol:
    return S3Protocol(load_service("s3"))
