"""A run's latencies as one HTML page without dependencies: over time, by percentile; answers per second."""

import math
from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Any

from service.load.chart import Axis, Chart, ChartLine, linear_axis, logarithmic_axis
from service.load.report import NOBODY

COLOURS = ("#2f6fde", "#d9730d", "#1f9d61", "#a53fc4", "#c9334e", "#0f8f9c", "#8a7a12", "#6a6f7a")
_TIMES = MappingProxyType({"p50 ms": "p50_s", "p90 ms": "p90_s", "p99 ms": "p99_s", "max ms": "max_s"})
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
  :root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 16%, transparent);
    --soft: color-mix(in srgb, currentColor 62%, transparent); }}
  body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
  h1 {{ font-size: 1.4rem; margin-bottom: .2rem; }}
  h2 {{ font-size: 1.05rem; margin: 1.8rem 0 .2rem; }}
  p {{ margin: .2rem 0 .6rem; color: var(--soft); }}
  .wide {{ overflow-x: auto; }}
  table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
  th, td {{ text-align: right; padding: .3rem .6rem; white-space: nowrap;
    border-bottom: 1px solid var(--line); }}
  th {{ font-weight: 600; font-size: .85rem; color: var(--soft); }}
  th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
  tr.total td {{ font-weight: 600; }}
  .key {{ display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .5rem;
    vertical-align: -1px; }}
  .warning {{ color: #b8530a; }}
  .bad {{ color: #c0392b; }}
  @media (prefers-color-scheme: dark) {{ .warning {{ color: #f0a35c; }} .bad {{ color: #ff8573; }} }}
  svg {{ display: block; width: 100%; height: auto; }}
  svg text {{ fill: currentColor; font: 12px system-ui, sans-serif; }}
  svg .tick {{ opacity: .7; }}
  svg .grid {{ stroke: currentColor; opacity: .13; }}
  svg .series {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
  svg .thin {{ stroke-width: 1.4; stroke-dasharray: 5 3; opacity: .85; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{subtitle}</p>
<div class="wide">{table}</div>
{notes}
{charts}
</body>
</html>
"""


def draw(report: Mapping[str, Any]) -> str:
    """The page of a report (service/load/report.py): HTML with inline SVG, light or dark as the browser."""
    plan = report["plan"]
    if plan["loop"] == "open":
        how = f"open loop, {plan['rate']:g} requests/s due, latency counted from when each was due"
    else:
        how = f"closed loop, {plan['connections']} callers"
    began = report["began"][:19].replace("T", " at ")
    subtitle = f"{report['url']} · {how} · {report['duration_s']:.3g} s from {began} UTC"
    charts = (
        ("Latency over time", "p50 as a line, p99 dashed", _over_time(report)),
        ("Latency by percentile", "how many of the answers came within the time", _by_percentile(report)),
        (
            "Answers per second",
            "by when the requests were due; failed ones dashed in red",
            _per_second(report),
        ),
    )
    return _PAGE.format(
        title=escape(f"Load on {report['endpoint']}"),
        subtitle=escape(subtitle),
        table=_table(report),
        notes=_notes(report),
        charts="\n".join(
            f"<h2>{title}</h2><p>{caption}</p>{chart.draw(title)}" for title, caption, chart in charts
        ),
    )


def _over_time(report: Mapping[str, Any]) -> Chart:
    lines = []
    for number, variant in enumerate(report["variants"]):
        rows = [row for row in variant["timeline"] if row["answers"]]
        for name, thin in (("p50_s", False), ("p99_s", True)):
            points = [(row["at_s"] + row["length_s"] / 2, row[name] * 1e3) for row in rows]
            label = f"{variant['name'] or NOBODY} {name.removesuffix('_s')}"
            lines.append(ChartLine(label, points, _colour(number), thin))
    return Chart(_time_axis(report), logarithmic_axis("ms", _heights(lines)), lines)


def _by_percentile(report: Mapping[str, Any]) -> Chart:
    lines = []
    most = max((variant["answers"] for variant in report["variants"]), default=0)
    for number, variant in enumerate(report["variants"]):
        points = _percentile_points(variant["latency"]["histogram"], variant["answers"])
        lines.append(ChartLine(variant["name"] or NOBODY, points, _colour(number)))
    ticks = [(_nines(share), f"{share * 100:g} %") for share in _SHARES if share * most <= most - 1]
    axis = Axis(
        "of answers", 0.0, max(_nines(1 - 1 / most) if most > 1 else 1.0, 0.5), ticks or [(0.0, "0 %")]
    )
    return Chart(axis, logarithmic_axis("ms", _heights(lines)), lines)


def _percentile_points(rows: list[Any], total: int) -> list[tuple[float, float]]:
    """(place on the axis of nines, ms) for each bucket; the last answer has no share that exceeds it."""
    points, passed = [], 0
    for low_s, high_s, count in rows:
        value_ms = math.sqrt(low_s * high_s) * 1e3
        points.append((_nines(passed / total), value_ms))
        passed += count
    if points:
        points.append((_nines(1 - 1 / total) if total > 1 else 1.0, points[-1][1]))
    return points


def _nines(share: float) -> float:
    """Where a share stands on the axis: 0 at 0, 1 at 90 %, 2 at 99 %."""
    return -math.log10(1 - share)


def _per_second(report: Mapping[str, Any]) -> Chart:
    lines = [
        ChartLine(
            variant["name"] or NOBODY,
            [
                (row["at_s"] + row["length_s"] / 2, row["answers"] / row["length_s"])
                for row in variant["timeline"]
            ],
            _colour(number),
        )
        for number, variant in enumerate(report["variants"])
    ]
    if report["total"]["failed"]:
        rows = report["total"]["timeline"]
        failed = [(row["at_s"] + row["length_s"] / 2, row["failed"] / row["length_s"]) for row in rows]
        lines.append(ChartLine("failed", failed, "#d23b3b", True))
    return Chart(_time_axis(report), linear_axis("per s", 0.0, max(_heights(lines), default=1.0)), lines)


def _time_axis(report: Mapping[str, Any]) -> Axis:
    return linear_axis("s", 0.0, max(report["duration_s"], 0.1), exact=True)


def _heights(lines: list[ChartLine]) -> list[float]:
    return [height for line in lines for _, height in line.points]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _table(report: Mapping[str, Any]) -> str:
    head = ("variant", "requests", "share", "by weight (95 %)", "failed", "answers/s", *_TIMES)
    rows = [_row(variant, _colour(number)) for number, variant in enumerate(report["variants"])]
    rows.append(_row({"name": "total", **report["total"]}, None))
    cells = "".join(f"<th>{title}</th>" for title in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(figures: Mapping[str, Any], colour: str | None) -> str:
    key = f'<span class="key" style="background:{colour}"></span>' if colour else ""
    expected = figures.get("expected")
    weighed = ""
    if expected:
        weighed = f"{expected['share']:.1%} ({expected['lower']:.1%} to {expected['upper']:.1%})"
        weighed += " inside" if expected["inside"] else ' <span class="warning">outside</span>'
    failed = f"{figures['failed']:,}"
    latency = figures["latency"]
    cells = [
        key + escape(figures["name"] or NOBODY),
        f"{figures['requests']:,}",
        f"{figures['share']:.1%}" if "share" in figures else "",
        weighed,
        f'<span class="bad">{failed}</span>' if figures["failed"] else failed,
        f"{figures['answers_per_second']:,.1f}",
        *(_milliseconds(latency[name]) for name in _TIMES.values()),
    ]
    kind = ' class="total"' if colour is None else ""
    return f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _milliseconds(time_s: float) -> str:
    time_ms = time_s * 1e3
    return f"{time_ms:,.0f}" if time_ms >= 100 else f"{time_ms:.2f}"


def _notes(report: Mapping[str, Any]) -> str:
    notes = [
        f'<p class="bad">{error["count"]:,} times {escape(error["code"])}: {escape(error["example"])}</p>'
        for error in report["total"]["errors"]
    ]
    warnings = [f"The load tester itself was the limit: {each}." for each in report["tester"]["limits"]]
    if report["interrupted"]:
        warnings.insert(0, "The run was ended early.")
    if report["note"]:
        warnings.append(report["note"])
    return "\n".join(notes + [f'<p class="warning">{escape(each)}</p>' for each in warnings])
