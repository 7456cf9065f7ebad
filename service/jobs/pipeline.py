"""A pipeline in a process of a pool: the models of its containers, asked one after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import HopTooLarge, ModelFault, ModelUnreachable
from service.hosting.calls.serial import Chain
from service.hosting.host import Answer, Call, Interface, Model, Traits
from service.jobs.process import LocalModelOpener, Profile, Work, open_model


class SerialModel:
    """The models of a pipeline as one: what goes in goes to the first, what the last answers comes out."""

    def __init__(self, names: Sequence[str], loads: Sequence[Callable[[], Model]]) -> None:
        """Load them in their order; `loads` also load one anew whose process is gone. Raises ModelFault."""
        self._chain = Chain(names)
        self._loads = tuple(loads)
        self._models = [self._load(number) for number in range(len(loads))]
        all_traits = [model.traits for model in self._models]
        self.traits = Traits(
            ", then ".join(traits.description for traits in all_traits),
            sum(traits.size_bytes for traits in all_traits),
            scripted=True,
            warnings=tuple(warning for traits in all_traits for warning in traits.warnings),
            default_accept=all_traits[-1].default_accept,
            headers=all_traits[0].headers,
            columns=all_traits[0].columns,
        )

    def answer(self, call: Call) -> Answer:
        """Answer one call. Blocking; raises ModelFault, which says of which container it is."""
        answer = self._answer(0, call, None)
        for number in range(1, len(self._models)):
            answer = self._answer(number, call, answer)
        return answer

    def interface(self) -> Interface | None:
        """Nobody asks."""
        return None

    def _answer(self, number: int, call: Call, before: Answer | None) -> Answer:
        call = self._chain.call_at(number, call, before)
        with self._said_of(number):
            try:
                return self._models[number].answer(call)
            except ModelUnreachable:
                if self._models[number].traits.elsewhere is None:
                    raise
            self._models[number] = self._loads[number]()
            return self._models[number].answer(call)

    def _load(self, number: int) -> Model:
        with self._said_of(number):
            return self._loads[number]()

    @contextmanager
    def _said_of(self, number: int) -> Iterator[None]:
        try:
            yield
        except HopTooLarge:
            raise
        except ModelFault as fault:
            fault.container = self._chain.names[number]
            fault.message = f"{fault.container}: {fault.message}"
            raise


@dataclass(frozen=True, slots=True)
class PipelineOpener:
    """The folders of a pipeline's models, which each process of the pool loads for itself."""

    names: tuple[str, ...]
    openers: tuple[LocalModelOpener, ...]

    def load(self) -> Model:
        """Load all of them, in their order. Raises ModelFault."""
        return SerialModel(self.names, [opener.load for opener in self.openers])

    def open(self) -> tuple[Work, Callable[[], None], Profile]:
        """Load the models. Raises ModelFault."""
        first = self.openers[0]
        return open_model(
            self.load(),
            self.load,
            first.options,
            quarantine=first.quarantine,
            as_blocks=False,
            log_place=first.log_place,
        )
