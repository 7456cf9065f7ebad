"""The log line of a request that failed, whichever face it came to: one for each, with its id."""

import re

from service.errors import REQUEST_ID, CallerError, ModelFault, SagebirdError
from service.log import REQUEST_FAILED, Logger, get_logger

_MOST_CHARS = 500
# What a violation quotes of a model's or job's Environment: its values are often keys and passwords.
_QUOTED_ENVIRONMENT = re.compile(r"Value '.*?' at '([^']*environment[^']*)'", re.DOTALL | re.IGNORECASE)


def mask_environment(message: str) -> str:
    """A message without the values of an Environment: its caller is told them, as by AWS, the log is not."""
    return _QUOTED_ENVIRONMENT.sub(r"Value '***' at '\1'", message)


def is_callers(error: Exception) -> bool:
    """Whether who asked can mend it. Source: contract E.1, by the container's status."""
    if isinstance(error, ModelFault):
        return 400 <= error.status < 500
    return isinstance(error, CallerError)


def note_failure(
    logger: Logger, error: Exception, request_id: str, status: int, code: str, **place: str
) -> None:
    """Log a request that got an error; `place` is where it went, as `path="/"`.

    What the caller cannot mend weighs more, and a bug comes with its traceback.
    """
    if not isinstance(error, SagebirdError):
        logger.error(REQUEST_FAILED, request_id=request_id, **_cut(place), exc_info=error)
        return
    report = logger.info if is_callers(error) else logger.warning
    reason = mask_environment(error.message).replace(REQUEST_ID, request_id)[:_MOST_CHARS]
    report(REQUEST_FAILED, request_id=request_id, **_cut(place), status=status, code=code, reason=reason)


def note_stray(logger: Logger, request_id: str, status: int, reason: str, **place: str) -> None:
    """Log a request that found nothing, or asked by a method for which there is nothing."""
    reason = reason[:_MOST_CHARS]
    logger.info(REQUEST_FAILED, request_id=request_id, **_cut(place), status=status, reason=reason)


def note_unanswered(error: BaseException, **place: str) -> None:
    """Log a request that failed where neither its id nor its face is known any more: a bug."""
    get_logger("sagebird.gateway").error(REQUEST_FAILED, **_cut(place), exc_info=error)


def log_bug(event: str, error: Exception) -> None:
    """Log what must not happen, and is not the matter of one request."""
    get_logger("sagebird.gateway").error(event, exc_info=error)


def _cut(place: dict[str, str]) -> dict[str, str]:
    return {name: value[:_MOST_CHARS] for name, value in place.items()}
