"""The seam between models and flavours: what a flavour gives."""

from typing import Any, Protocol

from service.hosting.programs.compiled import Joined, Quick
from service.media.codec import Accept
from service.media.tables import Takes


class Predictor(Protocol):
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
    def takes(self) -> Takes:
        """What it can be given beside rows of numbers."""
        ...

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of its columns, if it was fitted with such."""
        ...

    def predict(self, data: Any, accept: Accept) -> Any:
        """The prediction, ready for the codec. Raises ModelFault."""
        ...

    def joined(self, accept: Accept) -> Joined | None:
        """How requests for such an answer may be put together; None: not at all."""
        ...

    def answers_by_row(self, accept: Accept) -> bool:
        """Whether no answer of this form depends on the rows beside it. Tries it, which takes a moment."""
        ...

    def predict_joined(self, rows: Any, each: int, accept: Accept) -> Any | None:
        """What requests of `each` rows get, which follow one another in plain rows (n, features).

        None where each has to be asked alone. To be used as `joined` says.
        """
        ...

    @property
    def features(self) -> int | None:
        """Columns that the estimator takes, if it says so."""
        ...

    def quick_for(self, accept: Accept) -> Quick | None:
        """What alone gives such an answer for plain rows with as many columns as there are `features`."""
        ...
