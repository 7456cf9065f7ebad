"""The seam below bytes and headers: a model whose calls may be answered together.

A Protocol only. Runtimes implement it, whoever joins calls asks it; what surrounds it is in host.
"""

from typing import Any, Protocol

from service.hosting.programs.compiled import Joined, Quick
from service.media.codec import Accept
from service.media.tables import Takes


class Joinable(Protocol):
    """A model without bytes and headers, whose calls may be answered together."""

    @property
    def takes(self) -> Takes:
        """What it can be given beside rows of numbers."""
        ...

    @property
    def features(self) -> int | None:
        """Columns that it takes, if it says so."""
        ...

    def predict(self, data: Any, accept: Accept) -> Any:
        """The prediction, ready for the codec. Raises ModelFault."""
        ...

    def joined(self, accept: Accept) -> Joined | None:
        """How requests for such an answer may be put together; None: not at all."""
        ...

    def predict_joined(self, rows: Any, each: int, accept: Accept) -> Any | None:
        """What requests of `each` rows get, which follow one another in plain rows (n, features).

        None where each has to be asked alone. To be used as `joined` says.
        """
        ...

    @property
    def coded(self) -> bool:
        """Whether its programs take the rows that `code` gives."""
        ...

    def code(self, data: Any) -> Any | None:
        """What was read, as the rows that programs of words and gaps take; None where none takes it."""
        ...

    def quick_for(self, accept: Accept) -> Quick | None:
        """What alone gives such an answer for plain rows with as many columns as there are `features`."""
        ...

    def answers_by_row(self, accept: Accept) -> bool:
        """Whether no answer of this form depends on the rows beside it. Tries it, which takes a moment."""
        ...
