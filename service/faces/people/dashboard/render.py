"""The dashboard as HTML: templates that escape every value, and how numbers are written for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from service import __version__
from service.faces.people.dashboard.board import EndpointPanel, Picture
from service.faces.people.dashboard.experiment import drawn
from service.faces.people.dashboard.promotion import PAUSES

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES: Final = Path(__file__).parent.parent / "templates"
_UNKNOWN: Final = "\u2013"  # a dash
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


class Renderer:
    """Fills the templates. They are read once, when the first page is asked for."""

    def __init__(self) -> None:
        self._templates = _environment()
        self._parts = self._templates.get_template("parts.html").module
        self._experiment = self._templates.get_template("experiment.html").module
        self._known: dict[str, tuple[Mapping[str, Any], str]] = {}  # experiments, and how they were drawn

    def shell(self) -> str:
        """The page without anything that a stranger may not see: it asks for the rest itself."""
        return self._templates.get_template("dashboard.html").render(version=__version__)

    def main(self, picture: Picture) -> str:
        """All cards."""
        layout = layout_of(picture)
        values = {"picture": picture, "layout": layout, "drawn": drawn, "pauses": PAUSES}
        return self._templates.get_template("main.html").render(values)

    def fragment(self, template: str, values: Mapping[str, Any]) -> str:
        """One of the small templates."""
        return self._templates.get_template(template).render(values)

    def parts(self, picture: Picture) -> dict[str, str]:
        """What changes by itself, by the names that the page knows it by."""
        fixed = ("notices", "summary", "models", "containers", "environments", "jobs", "failures")
        parts = {name: self._part(name, picture) for name in fixed}
        parts |= {f"panel/{each.card.name}": self._part("panel", each) for each in picture.panels}
        known = {each.card.name: self._experiment_part(each) for each in picture.panels if each.experiment}
        self._known = known
        return parts | {f"experiment/{name}": html for name, (_, html) in known.items()}

    def _experiment_part(self, panel: EndpointPanel) -> tuple[Mapping[str, Any], str]:
        """An experiment as it was drawn before, as long as there is no newer one."""
        document = panel.experiment or {}
        known = self._known.get(panel.card.name)
        if known is not None and known[0] == document:
            return known
        return document, self.experiment(document)

    def experiment(self, document: Mapping[str, Any]) -> str:
        """The experiment of an endpoint."""
        macro = getattr(self._experiment, "experiment")  # noqa: B009 - of a template, as below
        return _encodable(macro(drawn(document)))

    def _part(self, macro: str, value: Any) -> str:
        """What a macro makes, fit for any encoder: names of files need not be UTF-8."""
        return _encodable(getattr(self._parts, macro)(value))


def _encodable(html: object) -> str:
    return str(html).encode("utf-8", "backslashreplace").decode("utf-8")


def layout_of(picture: Picture) -> str:
    """What a page has to be drawn anew for: which cards there are, and what can be done in each."""
    cards = [
        [panel.card.name, list(panel.weights), panel.editable, panel.card.status == "Failed"]
        for panel in picture.panels
    ]
    return orjson.dumps([cards, picture.more]).decode()


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # most servers are never looked at

    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    found.filters.update(
        rate=write_rate, count=write_count, ms=write_ms, size=write_size, percent=write_percent
    )
    found.filters.update(moment=write_moment, plain=write_plain, amount=write_amount)
    found.filters["difference"] = write_difference
    return found


def write_rate(number: float | None) -> str:
    """Requests per second."""
    if number is None:
        return _UNKNOWN
    return f"{number:.1f}" if 0 < number < 10 else f"{number:,.0f}"


def write_count(number: int) -> str:
    """A whole number."""
    return f"{number:,}"


def write_ms(number: float | None) -> str:
    """Milliseconds, in the unit that reads best."""
    if number is None:
        return _UNKNOWN
    if number < 1:
        return f"{number * 1e3:.0f} µs"
    return f"{number:.3g} ms" if number < 1000 else f"{number / 1e3:.3g} s"


def write_size(number: int) -> str:
    """Bytes, in powers of 1024 as settings have them."""
    size, unit = float(number), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 10 else f"{size:.1f} {_UNITS[unit]}"


def write_percent(share: float) -> str:
    """A share."""
    return f"{100 * share:.3g} %"


def write_plain(number: float | None) -> str:
    """Any number, in four digits."""
    return _UNKNOWN if number is None else f"{number:.4g}"


def write_amount(number: float | None, binary: bool) -> str:
    """The mean of outcomes: of those that are 0 or 1 a share."""
    return f"{100 * number:.1f} %" if binary and number is not None else write_plain(number)


def write_difference(number: float | None, binary: bool) -> str:
    """How much more one has than the other: of shares in points."""
    if number is None:
        return _UNKNOWN
    return f"{100 * number:+.1f} points" if binary else f"{number:+.4g}"


def write_moment(at: datetime | float | str) -> str:
    """A time of UTC; one that is kept as text has just been, and is told without its date."""
    if isinstance(at, str):
        return at[11:19]
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return moment.strftime("%d %b %H:%M:%S")
