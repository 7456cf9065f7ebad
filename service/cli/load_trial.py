"""One request before the many of `sagebird load`: a mistake of whoever asks is told once, not counted."""

import httpx

from service.cli.refusal import fail
from service.cli.server import error_text
from service.load.plan import Plan

_LONGEST_S = 10.0
_PASSING = (408, 429)  # refusals that a later request need not meet
_HINT = "Nothing was sent but this one request; --allow-failures sends the load all the same."


def try_once(plan: Plan) -> None:
    """Send the first request, which nothing counts; the command ends if it is refused as the caller's fault.

    No answer, one that is late or an error of the server is for the run to tell.
    """
    answer = _ask(plan)
    if answer is not None and _is_refusal(answer):
        fail(f"{error_text(answer)} ({_HINT})")


def is_refused(plan: Plan) -> bool:
    """Whether the first request is refused as the caller's fault."""
    answer = _ask(plan)
    return answer is not None and _is_refusal(answer)


def _is_refusal(answer: httpx.Response) -> bool:
    return answer.is_client_error and answer.status_code not in _PASSING


def _ask(plan: Plan) -> httpx.Response | None:
    """The answer to the first request, None if there is none."""
    place, body = plan.place, plan.bodies[0]
    url = f"{'https' if place.secure else 'http'}://{place.authority}{plan.path}"
    headers = {"Content-Type": body.content_type, **plan.headers}
    timeout_s = min(plan.timeout_s, _LONGEST_S)
    try:
        return httpx.post(url, content=body.content, headers=headers, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
