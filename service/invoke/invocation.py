"""What is asked of an endpoint: one invocation, and many that are alike but for their bodies."""

from typing import NamedTuple

from service.domain.caller import Caller
from service.hosting.host import Call
from service.invoke.directory import REGISTERED, Route, Target


class Invocation(NamedTuple):
    """One request for a prediction, through whatever face; `endpoint` None asks for the default one.

    A registered model is asked by its address. `user` is for whom it is, who always has the same variant;
    `inference_id` is what the caller calls it.
    """

    caller: Caller
    endpoint: str | None
    call: Call
    target_variant: str | None = None
    target_container_hostname: str | None = None
    inference_component: str | None = None
    user: bytes | None = None
    inference_id: str | None = None

    @property
    def registered(self) -> str | None:
        """The name of the registered model that is asked, None if that is an endpoint."""
        address = self.endpoint or ""
        return address.removeprefix(REGISTERED) if address.startswith(REGISTERED) else None

    def with_body(self, body: bytes) -> "Invocation":
        """The same for another body."""
        return Invocation(self.caller, self.endpoint, self.call.with_body(body), *self[3:])

    def identified(self, body: bytes, request_id: str, log_place: str | None) -> "Invocation":
        """The same for another body, with the id that its caller will be told.

        And with where is kept what it has printed.
        """
        if log_place is None:
            return self.with_body(body)
        call = Call(body, *self.call[1:6], log_place, request_id)
        return Invocation(self.caller, self.endpoint, call, *self[3:])


class InvocationHead:
    """Invocations that are alike but for their bodies, and where they lead as long as that route stays.

    `only` is the target if there is no other. The predictor keeps both; no head keeps a directory alive.
    """

    __slots__ = ("call", "invocation", "name", "only", "route")

    def __init__(self, invocation: Invocation) -> None:
        """For invocations like this one, whatever its body is."""
        self.invocation = invocation
        self.name = invocation.endpoint or ""  # the default endpoint is looked up anew each time
        self.call = invocation.call
        self.route: Route | None = None
        self.only: Target | None = None
