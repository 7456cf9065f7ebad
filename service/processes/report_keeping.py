"""Keeps outcomes that are reported, some at a time: whoever reports a lot makes nobody wait for all of it."""

from collections.abc import Callable, Sequence
from threading import Lock
from time import sleep, time
from typing import Final

from service.errors import SagebirdError, Unavailable, ValidationFault
from service.experiments.reports import Reported
from service.log import get_logger
from service.pieces import slices
from service.store.outcome_tables import Receipt
from service.store.outcomes import OutcomeStore

UNFINISHED: Final = "The server could not finish the request: try again."

_SLICE: Final = 128  # outcomes of one transaction, for which others wait some hundredths of a second
_BETWEEN_S: Final = 0.001  # so that whoever waits has its turn

_Kept = Receipt | SagebirdError


class ReportKeeping:
    """Keeps outcomes in a store that others use, too."""

    def __init__(self, outcomes: Callable[[], OutcomeStore], turn: Lock) -> None:
        """`outcomes` is the store, for whoever has the `turn`; it raises SagebirdError without one."""
        self._outcomes = outcomes
        self._turn = turn
        self._log = get_logger("sagebird.outcomes")

    def keep(self, taken: Sequence[tuple[str, Sequence[Reported]]]) -> Sequence[_Kept]:
        """What became of each report. Of many outcomes some are kept at a time: others have turns between."""
        found: list[_Kept] = [Receipt()] * len(taken)
        for number, some in enumerate(slices([reports for _, reports in taken], _SLICE)):
            if number:
                sleep(_BETWEEN_S)
            places = [each for each in some if isinstance(found[each.place], Receipt)]
            receipts = self._keep_some([(taken[each.place][0], each.items) for each in places])
            for each, receipt in zip(places, receipts, strict=True):
                found[each.place] = _joined(found[each.place], receipt, each.begin)
        return found

    def _keep_some(self, taken: Sequence[tuple[str, Sequence[Reported]]]) -> Sequence[_Kept]:
        """What became of each report: those of all in one transaction, or each by itself where one is bad."""
        if not taken:
            return []
        try:
            with self._turn:
                return self._outcomes().take_reports(taken, time())
        except SagebirdError as error:  # it is the database's, whoever reports
            return [error] * len(taken)
        except Exception:  # the edge of a report: those that came together with it are kept
            if len(taken) == 1:
                self._log.exception("outcomes of %s failed", taken[0][0])
                return [Unavailable(UNFINISHED)]
        return [receipt for each in taken for receipt in self._keep_some([each])]


def _joined(before: _Kept, now: _Kept, begin: int) -> _Kept:
    """What became of a report, with its next outcomes, which begin there."""
    if isinstance(before, Receipt) and isinstance(now, Receipt):
        return Receipt(*map(sum, zip(before, now, strict=True)))
    if begin and isinstance(now, ValidationFault):
        return ValidationFault(f"{now.message} The {begin:,} outcomes before that are kept.")
    return now
