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
    place, body = plan.place, plan.bodies[0]
    url = f"{'https' if place.secure else 'http'}://{place.authority}{plan.path}"
    headers = {"Content-Type": body.content_type, **plan.headers}
    timeout_s = min(plan.timeout_s, _LONGEST_S)
    try:
        answer = httpx.post(url, content=body.content, headers=headers, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL):
        return
    if answer.is_client_error and answer.status_code not in _PASSING:
        fail(f"{error_text(answer)} ({_HINT})")
