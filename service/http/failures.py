"""The log line of a failed request: one for each, with its id; what is not the caller's fault weighs more."""

import re

from service.errors import REQUEST_ID, CallerError, SagebirdError
from service.log import Logger, get_logger

_MOST_CHARS = 500
# What a violation quotes of a model's or job's Environment: its values are often keys and passwords.
_QUOTED_ENVIRONMENT = re.compile(r"Value '.*?' at '([^']*environment[^']*)'", re.DOTALL | re.IGNORECASE)


def mask_environment(message: str) -> str:
    """A message without the values of an Environment: its caller is told them, as by AWS, the log is not."""
    return _QUOTED_ENVIRONMENT.sub(r"Value '***' at '\1'", message)


def note_failure(
    logger: Logger, error: Exception, request_id: str, status: int, code: str, **place: str
) -> None:
    """Log a request that got an error; `place` is where it went, as `path="/"`.

    A bug comes with its traceback.
    """
    place = {name: value[:_MOST_CHARS] for name, value in place.items()}
    if not isinstance(error, SagebirdError):
        logger.error("request failed", request_id=request_id, **place, exc_info=error)
        return
    report = logger.info if isinstance(error, CallerError) else logger.warning
    reason = mask_environment(error.message).replace(REQUEST_ID, request_id)[:_MOST_CHARS]
    report("request failed", request_id=request_id, **place, status=status, code=code, reason=reason)


def log_bug(event: str, error: Exception) -> None:
    """Log what must not happen, where neither request nor caller are known any more."""
    get_logger("sagebird.gateway").error(event, exc_info=error)
