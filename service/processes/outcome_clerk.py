"""Keeps predictions and outcomes that gateways hand in, and says what they are worth: the keeper's part."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import inf
from threading import Lock
from time import monotonic, time
from typing import Any

from service.control.endpoints import endpoint_of
from service.control.experiment import (
    WINDOWS,
    Wish,
    describe_experiment,
    looked_at,
    objections,
    say_unheard,
    write_experiment,
)
from service.control.history import changes_of
from service.control.resources import OperationContext, Resources
from service.control.shadowing import ask_both, describe_agreement, shadow_share
from service.control.traffic_plans import plan_traffic, plans_of
from service.domain.caller import Caller
from service.domain.endpoint import Endpoint
from service.domain.kinds import Kind
from service.errors import CallerError, NothingThere, SagebirdError, Unavailable, ValidationFault
from service.experiments.live_agreement import LiveAgreement
from service.experiments.reports import Reported, read_reports
from service.experiments.timeline import mark_of
from service.http.asgi import Headers
from service.http.reply import Asked, Reply
from service.log import Trouble, get_logger
from service.observe.counter import InvocationCounter
from service.observe.series import VariantSeries
from service.processes.report_keeping import UNFINISHED, ReportKeeping
from service.store.outcome_messages import unpack_predictions
from service.store.outcome_tables import Predicted
from service.store.outcomes import Lately, OutcomeStore, Run
from service.store.store import Store

PREDICTIONS, REPORTS, EXPERIMENT, PROMOTE = b"predictions", b"reports", b"experiment", b"promote"
AGREEMENTS, ASK_BOTH = b"agreements", b"ask-both"
"""What is asked for, by the name of the first header; the others are its parts."""

_JSON: Headers = [(b"Content-Type", b"application/json")]
_CLEAR_S = 30.0
_FRESH_S = 1.0
_FRESH_WINDOW_S = 10.0
_KNOWN_S = 10.0
_MOST_FRESH = 100
_MOST_CAME = 10_000
_MARK_S = 5.0
_MOST_MARKED = 20  # experiments at a time: the keeper has other things to look at


class OutcomeClerk:
    """Answers what is handed in. Its threads take turns."""

    def __init__(
        self,
        opens: Callable[[], OutcomeStore],
        store: Store,
        context: OperationContext,
        series: VariantSeries,
    ) -> None:
        """`opens` is called when outcomes are needed first; `series` has what processes have counted."""
        self._opens = opens
        self._opened: OutcomeStore | None = None
        self._store = store
        self._context = context
        self._series = series
        self._turn = Lock()
        self._reports = ReportKeeping(self._outcomes, self._turn)
        self._cleared_s = 0.0
        self._fresh: dict[tuple[str, Wish], tuple[float, dict[str, Any]]] = {}
        self._windows: dict[tuple[str, str], tuple[float, Lately | None]] = {}
        self._marked_s = 0.0
        self._moved: set[str] = set()  # endpoints of which outcomes came since they were marked
        self._came_s: dict[str, float] = {}  # endpoints, and when something was reported of them
        self._known: dict[str, float] = {}  # endpoints that are there, and when they were looked for
        self._log = get_logger("sagebird.outcomes")
        self._trouble = Trouble(self._log, "outcomes cannot be kept")

    def answer(self, caller: Caller, asked: Asked) -> Reply:
        """The answer to one request. Raises nothing."""
        (kind, first), *_ = asked.headers
        try:
            if kind == PREDICTIONS:
                self._take_predictions(*unpack_predictions(asked.body))
                return Reply(200, [], b"")
            if kind == AGREEMENTS:
                self._take_agreements(asked.body)
                return Reply(200, [], b"")
            if kind == REPORTS:
                return Reply(200, _JSON, json.dumps(self._take_reports(asked)).encode())
            endpoint = first.decode()
            if kind == EXPERIMENT:
                return Reply(200, _JSON, write_experiment(self._experiment(endpoint, asked.body)))
            act = ask_both if kind == ASK_BOTH else plan_traffic
            done = self._act(act, caller, endpoint, asked.body)
            return Reply(200, _JSON, json.dumps({**done, **self._note(endpoint, done)}).encode())
        except SagebirdError as error:
            return _refusal(error)
        except Exception:  # the edge of a request: the others go on
            self._log.exception("request for outcomes failed")
            return _refusal(Unavailable(UNFINISHED))

    def look(self) -> None:
        """Note how experiments go, and let go of what is too old, now and then."""
        self._mark_some()
        if monotonic() - self._cleared_s <= _CLEAR_S and not (self._opened and self._opened.is_over()):
            return
        try:
            with self._turn:
                more = self._outcomes().clear(time())
            self._cleared_s = self._cleared_s if more else monotonic()
            self._trouble.end()
        except SagebirdError as error:  # its disk is full, or it is damaged: endpoints go on
            self._cleared_s = monotonic()
            self._trouble.meet(error.message)

    def objections(
        self, endpoint: str, variant: str, outcome: str | None = None, *, less: bool = False
    ) -> Sequence[str]:
        """What speaks against a variant of an endpoint, in sentences: a guard rail, or the verdict."""
        document = self._known_document(endpoint, Wish(outcome, less))
        return objections(document, variant) if document else []

    def warnings(self, endpoint: str) -> Sequence[str]:
        """The guard rails that a variant of an endpoint breaks, in sentences."""
        found: Sequence[str] = self._known_document(endpoint, Wish()).get("warnings", [])
        return found

    def _known_document(self, endpoint: str, wish: Wish) -> Mapping[str, Any]:
        """The document of an endpoint's experiment, empty where it is gone: its plans have to be ended."""
        try:
            return self._document(endpoint, wish)
        except NothingThere:
            return {}

    def run_of(self, endpoint: str) -> Run | None:
        """What came of the calls of an endpoint's newest fleet."""
        with self._turn:
            return self._outcomes().run(endpoint)

    def close(self) -> None:
        """Give the file back."""
        if self._opened is not None:
            self._opened.close()

    def _outcomes(self) -> OutcomeStore:
        """The store of outcomes. Raises SagebirdError where it cannot be opened; it is tried again then."""
        if self._opened is None:
            self._opened = self._opens()
        return self._opened

    def _take_predictions(self, predictions: Sequence[Predicted], dropped: Mapping[str, int]) -> None:
        """Keep predictions, and count the bad ones among them as dropped: else all came again for ever.

        Raises:
            SagebirdError: nothing can be kept now.
        """
        try:
            with self._turn:
                self._outcomes().take_predictions(predictions, dropped)
            return
        except SagebirdError:
            raise
        except Exception:  # the edge of a prediction: those that came together with it are kept
            if not predictions:
                raise
            if len(predictions) == 1:
                self._log.exception("a prediction of %s failed", predictions[0].arm.endpoint)
        if len(predictions) == 1:
            self._take_predictions([], Counter(dropped) + Counter([predictions[0].arm.endpoint]))
            return
        half = len(predictions) // 2
        self._take_predictions(predictions[:half], dropped)
        self._take_predictions(predictions[half:], {})

    def _take_agreements(self, body: bytes) -> None:
        found = {name: LiveAgreement.of_told(told) for name, told in json.loads(body).items()}
        with self._turn:
            self._outcomes().add_agreements(found)

    def _take_reports(self, asked: Asked) -> list[list[Any]]:
        """Status and document of each part: a refused one does no harm to the others."""
        found: list[list[Any]] = []
        places: list[int] = []
        taken: list[tuple[str, list[Reported]]] = []
        at = 0
        for endpoint, described in asked.headers[1:]:
            size, reporter, content_type = described.split(b" ", 2)
            body, at = asked.body[at : at + int(size)], at + int(size)
            name = endpoint.decode()
            try:
                self._check_known(name)
                reports = read_reports(content_type.decode("latin-1"), body, reporter.decode())
            except CallerError as error:
                found.append(_refused(error))
                continue
            places.append(len(found))
            found.append([200, {}])
            taken.append((name, reports))
        self._moved.update(name for name, _ in taken)
        for place, (name, _), receipt in zip(places, taken, self._reports.keep(taken), strict=True):
            if isinstance(receipt, SagebirdError):
                found[place] = _refused(receipt)
                continue
            found[place] = [200, receipt._asdict()]
            if receipt.counted or receipt.waiting:
                self._note_arrival(name)
        return found

    def _note_arrival(self, endpoint: str) -> None:
        if len(self._came_s) >= _MOST_CAME:
            self._came_s.clear()
        self._came_s[endpoint] = monotonic()

    def _check_known(self, endpoint: str) -> None:
        """Raise NothingThere: what is reported of whatever anybody names would have no end."""
        if monotonic() - self._known.get(endpoint, -inf) < _KNOWN_S:
            return
        if self._store.get(Kind.ENDPOINT, endpoint) is None:
            raise NothingThere(f"There is no endpoint {endpoint}.")
        if len(self._known) >= _MOST_FRESH:
            self._known.clear()
        self._known[endpoint] = monotonic()

    def _mark_some(self) -> None:
        if monotonic() - self._marked_s < _MARK_S:
            return
        self._marked_s = monotonic()
        for _ in range(min(len(self._moved), _MOST_MARKED)):
            name = self._moved.pop()
            try:
                self._mark(name)
            except NothingThere:  # it was deleted meanwhile
                continue
            except SagebirdError as error:  # as below
                self._trouble.meet(error.message)

    def _mark(self, name: str) -> None:
        document = self._document(name, Wish())
        if document["verdict"] is None:
            return
        with self._turn:
            self._outcomes().mark(name, _about(document), mark_of(document["verdict"], time()))
        self._fresh.pop((name, Wish()), None)

    def _experiment(self, endpoint: str, body: bytes) -> dict[str, Any]:
        return self._document(endpoint, _read_wish(json.loads(body)))

    def _document(self, name: str, wish: Wish) -> dict[str, Any]:
        now_s = monotonic()
        made_s, document = self._fresh.get((name, wish), (0.0, {}))
        if document and now_s - made_s < _FRESH_S:
            return document
        with self._store.view() as view:
            resource = view.get(Kind.ENDPOINT, name)
            changes, plans = changes_of(view, name), plans_of(view, name)
            if resource is None:
                raise NothingThere(f"There is no endpoint {name}.")
            endpoint = endpoint_of(resource)
            share = shadow_share(view, endpoint)
        counters = self._counters(endpoint)
        lately = None if wish.window is None else self._lately(name, wish.window)
        with self._turn:  # labels are counted in memory
            run, tallies = self._outcomes().run(name), self._outcomes().tallies(name)
            quiet_s = now_s - self._came_s.get(name, -inf)
            document = describe_experiment(
                endpoint, run, counters, changes, time(), wish, lately, tallies, quiet_s
            )
            compared = document["verdict"] is not None
            agreement = self._outcomes().agreement(name)
            document["timeline"] = self._outcomes().timeline(name, _about(document)) if compared else []
        document |= {
            **plans,
            "agreement": describe_agreement(endpoint, share, agreement, document["control"]),
        }
        if len(self._fresh) >= _MOST_FRESH:
            self._fresh.clear()
        self._fresh[name, wish] = (now_s, document)
        return document

    def _lately(self, name: str, window: str) -> Lately | None:
        """What is known of a window, read now and then: while it takes a second others have their turn."""
        now_s = monotonic()
        made_s, found = self._windows.get((name, window), (-inf, None))
        if now_s - made_s < _FRESH_WINDOW_S:
            return found
        with self._turn:
            outcomes = self._outcomes()
        found = outcomes.lately(name, time() - WINDOWS[window])
        if len(self._windows) >= _MOST_FRESH:
            self._windows.clear()
        self._windows[name, window] = (now_s, found)
        return found

    def _counters(self, endpoint: Endpoint) -> Mapping[str, InvocationCounter]:
        """What happened to the variants of the fleet that is looked at: another one had other models."""
        fleet = looked_at(endpoint)
        try:
            return {} if fleet is None else self._series.fleet(endpoint.name, fleet.generation)
        except sqlite3.Error as error:
            raise Unavailable("What was counted cannot be read now: try again.") from error

    def _act(
        self, act: Callable[[Resources, str, Any], dict[str, Any]], caller: Caller, endpoint: str, body: bytes
    ) -> dict[str, Any]:
        """Change an experiment on behalf of a caller, as a document says."""
        try:
            document = json.loads(body)
            json.dumps(
                document, ensure_ascii=False
            ).encode()  # else a reason with half of a character is kept
        except UnicodeEncodeError:
            raise ValidationFault("The request has half of a character (a lone surrogate).") from None
        except (ValueError, RecursionError) as error:
            raise ValidationFault(f"The request is no JSON: {error}.") from error
        with self._store.change() as change:
            if change.get(Kind.ENDPOINT, endpoint) is None:
                raise NothingThere(f"There is no endpoint {endpoint}.")
            done = act(Resources(change, self._context.of(caller)), endpoint, document)
        self._fresh.clear()
        return done

    def _note(self, endpoint: str, done: Mapping[str, Any]) -> dict[str, str]:
        """That a policy follows an outcome of which there is none yet: it may come, or be misspelt."""
        outcome = _followed(done)
        try:
            note = "" if outcome is None else say_unheard(outcome, self.run_of(endpoint))
        except SagebirdError:  # what was asked for is done: to say no more than that is no failure
            return {}
        return {"note": note} if note else {}


def _followed(done: Mapping[str, Any]) -> str | None:
    """The outcome that a policy follows from now on; None where there is no policy, or it takes any."""
    allocation = done.get("allocation")
    followed: str | None = None
    if allocation is not None and allocation["state"] == "running":
        followed = allocation["outcome"]
    return followed


def takes_long(asked: Asked) -> bool:
    """Whether others should not wait until a request is answered."""
    return asked.headers[0][0] == REPORTS


def _about(document: Mapping[str, Any]) -> str:
    """What intervals over time are about: others are of another experiment."""
    return json.dumps([document["generation"], document["outcome"], document["control"]])


def _read_wish(asked: Mapping[str, str]) -> Wish:
    worth = asked.get("worth") or None
    try:
        size = None if worth is None else float(worth)
    except ValueError:
        size = 0.0
    if size is not None and not 0 < size < float("inf"):
        raise ValidationFault("worth must be a number above 0: the smallest difference that matters.")
    less = asked.get("less", "").lower() in ("true", "1", "yes")
    window = asked.get("window") or None
    if window is not None and window not in WINDOWS:
        raise ValidationFault(f"window must be {', '.join(WINDOWS)}: how far it reaches back.")
    return Wish(asked.get("outcome") or None, less, size, asked.get("control") or None, window)


def _status(error: SagebirdError) -> int:
    return {NothingThere: 404, Unavailable: 503, ValidationFault: 400}.get(type(error), 500)


def _refused(error: SagebirdError) -> list[Any]:
    return [_status(error), {"message": error.message}]


def _refusal(error: SagebirdError) -> Reply:
    return Reply(_status(error), _JSON, json.dumps({"message": error.message}).encode())
