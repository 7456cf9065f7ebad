"""Models that built-in code serves: what a flavour gives, and how bytes and headers are put around it."""

from typing import Any, Protocol

from service.hosting.host import Answer, Call, Interface, Traits
from service.hosting.joinable import Joinable
from service.hosting.programs.compiled import Compiling
from service.hosting.runtimes.interface import read_interface
from service.media.codec import choose_accept, decode, encode
from service.media.tables import HeaderUse


class Flavour(Joinable, Protocol):
    """What a flavour gives: a model without bytes and headers."""

    @property
    def estimator(self) -> Any:
        """The object that was loaded."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know about it, each with its fix."""
        ...

    @property
    def description(self) -> str:
        """What it is, for people."""
        ...

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of its columns, if it was fitted with such."""
        ...


class FlavourModel:
    """A model that built-in code serves."""

    def __init__(
        self,
        predictor: Flavour,
        size_bytes: int,
        default_accept: str,
        compiling: Compiling | None = None,
    ) -> None:
        """`size_bytes` is what it holds without its programs."""
        self.predictor = predictor
        compiling = Compiling(None) if compiling is None else compiling
        self.traits = Traits(
            predictor.description,
            size_bytes + compiling.program_bytes,
            in_place=True,
            warnings=predictor.warnings,
            joinable=predictor,
            default_accept=default_accept,
            headers=HeaderUse.KNOWN,
            columns=predictor.columns,
            compiling=compiling,
        )

    def answer(self, call: Call) -> Answer:
        """Decode, predict, encode. Raises ModelFault."""
        accept = choose_accept(call.accept, default=self.traits.default_accept)
        prediction = self.predictor.predict(
            decode(call.body, call.content_type, self.predictor.takes), accept
        )
        return Answer(encode(prediction, accept.media_type), accept.media_type)

    def interface(self) -> Interface:
        """What its estimator takes and gives."""
        return read_interface(self.predictor.estimator, texts=self.predictor.takes.texts)
