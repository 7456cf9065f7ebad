"""A pipeline: containers that hand each call on from one to the next (contract A.6).

Not in here: what one container does with a call; callers that name the container that they mean, who ask the
replica of that one.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from service.domain import container_sentences
from service.domain.endpoint import ModelSource
from service.domain.log_places import place_below
from service.errors import AnswerTooLarge, HopTooLarge, ModelFault, ModelNotFound, ModelTimeout
from service.hosting.host import Answer, Call, Replica, ShortWay, invoke_whole
from service.hosting.stopwatch import Stopwatch

MOST_HOP_BYTES: Final = 5 * 2**20
"""Most that one container may hand to the next one. Source: contract G; that it means MiB is ours."""

_GRACE_S: Final = 0.2  # a container's own time limit, which knows what it was at, is over first


class Chain:
    """Which call each container of a pipeline gets."""

    def __init__(self, names: Sequence[str], multi: Collection[str] = ()) -> None:
        """`names` of the containers in their order; `multi` are those with a folder of models."""
        self.names = tuple(names)
        self._multi = frozenset(multi)

    def call_at(self, number: int, call: Call, before: Answer | None) -> Call:
        """What a container gets of a client's call, given what the container before it has answered.

        What the client accepts is for the last one to know; the others answer in their own default type.

        Raises:
            HopTooLarge: the answer is more than it may be given.
        """
        name = self.names[number]
        body, content_type = (call.body, call.content_type) if before is None else before[:2]
        if before is not None and len(body) > MOST_HOP_BYTES:
            raise self.too_large(number - 1, before.status, len(body))
        return Call(
            body,
            content_type,
            call.accept if number == len(self.names) - 1 else None,
            call.custom_attributes,
            call.target_model if name in self._multi else None,
            call.session_id,
            None if call.log_place is None else place_below(call.log_place, name),
            call.request_id,
        )

    def too_large(self, number: int, status: int, size_bytes: int) -> HopTooLarge:
        """What is told where a container answers more than the next one may be given."""
        sender, following = self.names[number : number + 2]
        return HopTooLarge(container_sentences.hop_too_large(sender, status, following, size_bytes))


class SerialReplica:
    """Answers calls by the replicas of a pipeline's containers, one after the other.

    Raises as they do; a fault says of which container it is. A call has one time limit for all of them.
    """

    def __init__(self, source: ModelSource, replicas: Sequence[Replica], timeout_s: float) -> None:
        """`replicas` are those of the source's stages, in their order."""
        self.source = source
        self._replicas = tuple(replicas)
        self._timeout_s = timeout_s
        self._chain = Chain(
            [stage.name for stage in source.stages],
            [stage.name for stage in source.stages if stage.source.multi],
        )

    def scale(self, instances: int, most_calls: int | None = None) -> None:
        """Be so many instances of each container from now on."""
        for replica in self._replicas:
            replica.scale(instances, most_calls)

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> ShortWay | None:
        """There is none: an answer is not known to be quick by what its first container is."""
        return None

    def note_cost(self, call: Call, body_bytes: int, seconds: float) -> None:
        """No call goes a short way, so none costs anything there."""

    def begin(self, call: Call, watch: Stopwatch) -> None:
        """A call of several containers needs a task."""

    async def invoke(self, call: Call, watch: Stopwatch | None = None) -> Answer:
        """Answer one call; `watch` counts the seconds of all containers."""
        watch = Stopwatch() if watch is None else watch
        number = 0
        try:
            async with asyncio.timeout(self._timeout_s + _GRACE_S) as limit:
                answer = await self._ask(number, call, None, watch)
                for number in range(1, len(self._replicas)):
                    answer = await self._ask(number, call, answer, watch)
                return answer
        except TimeoutError:
            if not limit.expired():
                raise
            name = self._chain.names[number]
            raise said_of(
                name, ModelTimeout(f"{name} gave no answer within {self._timeout_s:g} seconds.")
            ) from None

    async def _ask(self, number: int, call: Call, before: Answer | None, watch: Stopwatch) -> Answer:
        lap = Stopwatch()
        try:
            asked = self._chain.call_at(number, call, before)
            return await invoke_whole(self._replicas[number], asked, lap)
        except HopTooLarge:
            raise
        except ModelFault as fault:
            if isinstance(fault, AnswerTooLarge) and number < len(self._replicas) - 1:
                raise self._chain.too_large(number, 200, fault.size_bytes) from None
            stage = self.source.stages[number]
            if isinstance(fault, ModelNotFound) and not stage.source.multi:
                fault = ModelFault(fault.message, fault.status)  # no model that the caller has named
            raise said_of(stage.name, fault) from fault.__cause__
        finally:
            watch.add(lap.seconds)


def said_of(container: str, fault: ModelFault) -> ModelFault:
    """The fault, which belongs to one call, knowing the container that it is of."""
    fault.container = container
    return fault
