import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from service.load.chart import linear_axis, logarithmic_axis
from service.load.plot import draw
from tests.load.test_report import make_tally, report_of


class _Balance(HTMLParser):
    """Fails on a tag that closes what is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Opens and closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _charts(page: str) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Chart -> series -> points."""
    charts = {}
    for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        svg = ElementTree.fromstring(text)  # noqa: S314  # our own
        charts[svg.attrib["aria-label"]] = {
            line.attrib["data-series"]: [
                (float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())
            ]
            for line in svg.iter("polyline")
        }
    return charts


def test_the_page_is_whole_and_draws_every_series_of_every_variant() -> None:
    page = draw(report_of(make_tally({"logistic": 180, "forest": 20}), {"logistic": 9.0, "forest": 1.0}))

    balance = _Balance()
    balance.feed(page)
    assert balance.open == []
    charts = _charts(page)
    assert set(charts["Latency over time"]) == {"logistic p50", "logistic p99", "forest p50", "forest p99"}
    assert set(charts["Latency by percentile"]) == {"logistic", "forest"}
    assert set(charts["Answers per second"]) == {"logistic", "forest"}
    assert all(len(points) == 4 for points in charts["Answers per second"].values())
    for series in charts.values():
        for points in series.values():
            assert all(0 <= x <= 900 and 0 <= y <= 300 for x, y in points)
    assert "http://127.0.0.1:8080" in page
    assert not re.search(r"<script|src=|@import|url\(", page)


def test_percentiles_never_fall() -> None:
    page = draw(report_of(make_tally({"a": 500}), None))
    points = _charts(page)["Latency by percentile"]["a"]

    assert points == sorted(points, key=lambda point: (point[0], -point[1]))


def test_failures_have_a_line_and_their_words_cannot_break_the_page() -> None:
    tally = make_tally({"<b>": 1})
    tally.fail("", 0.1, "503", "<script>alert(1)</script>")
    page = draw(report_of(tally, None))

    assert "<script>" not in page
    assert "<b>" not in page
    assert "failed" in _charts(page)["Answers per second"]


def test_a_run_without_answers_is_drawn() -> None:
    tally = make_tally({})
    tally.fail("", 0.1, "NoConnection", "refused")

    assert set(_charts(draw(report_of(tally, {"a": 1.0})))) == {
        "Latency over time",
        "Latency by percentile",
        "Answers per second",
    }


@pytest.mark.parametrize("high", [0.1, 1, 7, 20, 999, 86_400])
def test_linear_ticks_are_few_and_hold_the_values(high: float) -> None:
    axis = linear_axis("s", 0.0, high)

    assert 2 <= len(axis.ticks) <= 12
    assert axis.high >= high
    assert linear_axis("s", 0.0, high, exact=True).high == high


@pytest.mark.parametrize("values", [[], [0.0], [1.0], [0.3, 0.31], [0.0012, 30_000.0]])
def test_logarithmic_ticks_are_few_and_hold_the_values(values: list[float]) -> None:
    axis = logarithmic_axis("ms", values)

    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 12
    assert all(0 <= axis.part(value) <= 1 for value in values)
