"""Which variant of which endpoint an invocation is for, by the directory of the moment and by chance."""

from collections.abc import Awaitable, Callable

from service.domain import container_sentences, sentences
from service.errors import ModelNotFound, SagebirdError, ValidationFault
from service.invoke.directory import Directory, Route, Target
from service.invoke.invocation import Invocation, InvocationHead


class Routing:
    """Finds the target of each invocation.

    Raises for what leads nowhere: ValidationFault, or ModelNotFound where a registered model is asked.
    """

    def __init__(
        self,
        directory: Callable[[], Directory],
        draw: Callable[[], float],
        catch_up: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """See Predictor."""
        self._directory = directory
        self._draw = draw
        self._catch_up = catch_up

    async def find(self, invocation: Invocation) -> Target:
        """As `choose`, but before anything is refused the directory catches up with what is new."""
        directory = self._directory()
        try:
            return self.choose(invocation)
        except SagebirdError:
            if self._catch_up is None:
                raise
            await self._catch_up()
            if self._directory() is directory:
                raise
        return self.choose(invocation)

    def choose(self, invocation: Invocation) -> Target:
        """The target of one invocation."""
        return self.pick(self._route(invocation), invocation)

    def one_target(self, head: InvocationHead, number: int) -> Target | None:
        """The target of all of so many invocations; None if there may be several, or if they are refused."""
        try:
            route, only = self.way(head)
            return only if only is not None or number > 1 else self.pick(route, head.invocation)
        except SagebirdError:
            return None

    def way(self, head: InvocationHead) -> tuple[Route, Target | None]:
        """Where invocations of a head lead: the route, and the target if there is no other."""
        directory = self._directory()
        name = head.invocation.endpoint if head.invocation.endpoint is not None else directory.default
        route = directory.routes.get(name or "")
        if route is None or route is not head.route:
            route, only = self._route(head.invocation), None
            asked = head.invocation
            if len(route.targets) == 1 or asked.target_variant is not None or asked.user is not None:
                only = self.pick(route, head.invocation)
            head.route, head.only = route, only
        return route, head.only

    def _route(self, invocation: Invocation) -> Route:
        directory = self._directory()
        name = invocation.endpoint if invocation.endpoint is not None else directory.default
        route = directory.routes.get(name) if name is not None else None
        if route is None:
            if invocation.registered is not None:
                raise ModelNotFound(f"Model not found: {invocation.registered}")
            if name is None:
                raise ValidationFault(sentences.no_default_endpoint(), ErrorCode="NO_SUCH_ENDPOINT")
            message = sentences.endpoint_not_found(name, invocation.caller.account)
            raise ValidationFault(message, ErrorCode="NO_SUCH_ENDPOINT")
        _check_headers(route, invocation)
        return route

    def pick(self, route: Route, invocation: Invocation) -> Target:
        """The variant that the invocation names, or else its user's, or else one by the weights."""
        variant = invocation.target_variant
        if variant is None and invocation.user is not None:
            variant = route.users.pick(invocation.user)
            if variant is None:
                raise ValidationFault(sentences.no_traffic(route.endpoint))
            target = route.named[variant]
        elif variant is None:
            drawn = route.traffic.pick(self._draw())
            if drawn is None:
                raise ValidationFault(sentences.no_traffic(route.endpoint))
            target = route.targets[drawn]
        else:
            named = route.named.get(variant)
            if named is None:
                raise ValidationFault(sentences.variant_unknown(variant, route.endpoint, list(route.named)))
            target = named
        return target if target.containers is None else _container(target, route, invocation)


def _container(target: Target, route: Route, invocation: Invocation) -> Target:
    """The container of a variant that the invocation names, or the variant itself if it has one way in."""
    hostname = invocation.target_container_hostname
    if not target.containers:
        if hostname is not None:
            raise ValidationFault(container_sentences.container_hostname_not_supported(route.endpoint))
        return target
    known = list(target.containers)
    if hostname is None:
        raise ValidationFault(container_sentences.container_hostname_missing(route.endpoint, known))
    found = target.containers.get(hostname)
    if found is None:
        raise ValidationFault(container_sentences.container_hostname_unknown(hostname, route.endpoint, known))
    return found


def _check_headers(route: Route, invocation: Invocation) -> None:
    """Refuse calls, and headers, that ask for what the endpoint is not."""
    if route.asynchronous:
        raise ValidationFault(sentences.endpoint_is_asynchronous(route.endpoint))
    if invocation.inference_component is not None:
        raise ValidationFault(sentences.inference_component_not_allowed())
    if invocation.target_container_hostname is not None and not route.direct:
        raise ValidationFault(container_sentences.container_hostname_not_supported(route.endpoint))
    if route.multi:
        if invocation.call.target_model is None:
            raise ValidationFault(sentences.target_model_missing(route.endpoint))
    elif invocation.call.target_model is not None and invocation.registered is None:
        raise ValidationFault(
            sentences.target_model_not_supported(route.endpoint),
            ErrorCode="TARGET_MODEL_HEADER_NOT_SUPPORTED",
        )
