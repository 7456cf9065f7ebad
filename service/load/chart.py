"""Line charts as SVG: axes with round ticks, linear or logarithmic, and lines that say their values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 900, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 26, 46
_STEPS = (1, 2, 2.5, 5, 10)
_MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, with ticks (place, text); `logarithmic` ones take values above 0 only."""

    unit: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def part(self, value: float) -> float:
        """Where a value stands: 0 at the low end, 1 at the high end."""
        if self.logarithmic:
            value = max(value, self.low)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series of points in the units of the axes."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over two axes."""

    x: Axis
    y: Axis
    lines: Sequence[ChartLine]

    def draw(self, title: str) -> str:
        """The chart as an `svg` element; each line is a `polyline` whose `data-series` is its name."""
        grid = [*map(self._x_tick, self.x.ticks), *map(self._y_tick, self.y.ticks)]
        units = (
            f'<text x="{_LEFT}" y="14" text-anchor="end">{escape(self.y.unit)}</text>'
            f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{escape(self.x.unit)}</text>'
        )
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
            f"{''.join(grid)}{units}{''.join(map(self._draw_line, self.lines))}</svg>"
        )

    def _draw_line(self, line: ChartLine) -> str:
        places = [f"{self._left(x):.1f},{self._top(y):.1f}" for x, y in line.points]
        if len(places) == 1:  # a line needs two ends; one point is drawn as a short one
            x, _, y = places[0].partition(",")
            places.append(f"{float(x) + 4:.1f},{y}")
        kind = "series thin" if line.thin else "series"
        return (
            f'<polyline class="{kind}" stroke="{line.colour}" data-series="{escape(line.name)}" '
            f'points="{" ".join(places)}"><title>{escape(line.name)}</title></polyline>'
        )

    def _x_tick(self, tick: tuple[float, str]) -> str:
        value, text = tick
        left = f"{self._left(value):.1f}"
        return (
            f'<line class="grid" x1="{left}" x2="{left}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text class="tick" x="{left}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{text}</text>'
        )

    def _y_tick(self, tick: tuple[float, str]) -> str:
        value, text = tick
        top = self._top(value)
        return (
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{top + 4:.1f}" text-anchor="end">{text}</text>'
        )

    def _left(self, value: float) -> float:
        return _LEFT + self.x.part(value) * (_WIDTH - _LEFT - _RIGHT)

    def _top(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - self.y.part(value) * (_HEIGHT - _TOP - _BOTTOM)


def linear_axis(unit: str, low: float, high: float, exact: bool = False) -> Axis:
    """An axis with round ticks; its end is the next tick above `high`, or `high` itself if `exact`."""
    span = high - low if high > low else 1.0
    rough = span / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))
    count = math.floor(span / step + 1e-9) if exact else math.ceil(span / step - 1e-9)
    ticks = [(low + number * step, f"{low + number * step:,.9g}") for number in range(count + 1)]
    return Axis(unit, low, low + span if exact else ticks[-1][0], ticks)


def logarithmic_axis(unit: str, values: Sequence[float]) -> Axis:
    """An axis with ticks at 1, 2 and 5 times powers of ten that holds all positive `values`."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(positive)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    start = max((value for value in every if value <= low), default=every[0])
    end = min((value for value in every if value >= high and value > start), default=every[-1])
    ticks = [value for value in every if start <= value <= end]
    if len(ticks) > _MOST_TICKS + 2:  # decades alone say enough
        ticks = [value for value in ticks if math.log10(value).is_integer()]
    return Axis(unit, start, end, [(value, f"{value:,.9g}") for value in ticks], logarithmic=True)
