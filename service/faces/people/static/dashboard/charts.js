// Two small charts for each endpoint: what its variants did in the last hour, by the minute.

import { clock } from "./clock.js";
import { lonely } from "./lonely.js";

const HEIGHT = 130;
const known = new Map(); // endpoint -> { t: [seconds], of: { variant: { rate, errors, p50, p99 } } }
const drawn = new Map(); // element -> uPlot
const probe = document.body.appendChild(document.createElement("i"));
probe.hidden = true;

// What a name stands for, in the light or in the dark.
function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

// What is over, and the last minute, which is not.
export function takeClosed(endpoint, chart) {
  known.set(endpoint, { closed: chart, last: known.get(endpoint)?.last });
}
export function takeLast(endpoint, chart) {
  known.set(endpoint, { closed: known.get(endpoint)?.closed, last: chart });
}

export function draw(endpoint) {
  const { closed, last } = known.get(endpoint) ?? {};
  if (!closed || !last) return;
  for (const box of document.querySelectorAll("[data-charts]")) {
    if (box.dataset.charts !== endpoint) continue;
    const t = [...closed.t, ...last.t];
    const of = (variant, what) => [...(closed.of[variant]?.[what] ?? closed.t.map(() => null)), ...last.of[variant][what]];
    const variants = Object.keys(last.of);
    const errors = t.map((_, i) => variants.reduce((sum, v) => sum + (of(v, "errors")[i] ?? 0), 0));
    const bad = { name: "errors", stroke: colour("--bad"), fill: colour("--bad"), bars: true };
    put(box, "rate", t, [...variants.map((v, i) => line(v, i)), bad], [...variants.map((v) => of(v, "rate")), errors]);
    const pairs = variants.flatMap((v, i) => [line(`${v} p50`, i), { ...line(`${v} p99`, i), dash: [4, 3] }]);
    put(box, "latency", t, pairs, variants.flatMap((v) => [of(v, "p50"), of(v, "p99")]));
  }
}

export function drawAll() {
  for (const plot of drawn.values()) plot.destroy();
  drawn.clear();
  for (const endpoint of known.keys()) draw(endpoint);
}

const line = (name, place) => ({ name, stroke: colour(`--c${place % 6}`) });

function put(box, what, t, lines, data) {
  const place = box.querySelector(`[data-plot="${what}"]`);
  const plot = drawn.get(place);
  if (plot && plot.names === lines.map((each) => each.name).join("\n")) {
    plot.setData([t, ...data]);
    return;
  }
  plot?.destroy();
  const made = new uPlot(options(box, what, place, lines), [t, ...data], place);
  made.names = lines.map((each) => each.name).join("\n");
  drawn.set(place, made);
}

function options(box, what, place, lines) {
  const axis = { stroke: colour("--soft"), font: "11px system-ui", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: Math.max(place.clientWidth, 120),
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"), // marks on whole quarters of an hour there
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 }, sync: { key: box.dataset.charts } },
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (_, ticks) => ticks.map((at) => clock(at)) },
      { ...axis, size: 44, space: 28, values: (_, ticks) => ticks.map((each) => short(each)) },
    ],
    series: [{}, ...lines.map((each) => ({
      label: each.name, stroke: each.stroke, fill: each.fill, dash: each.dash, width: 1.5, spanGaps: false,
      points: each.bars ? { show: false } : { show: false, filter: lonely, size: 6, stroke: each.stroke, fill: each.stroke },
      ...(each.bars ? { paths: uPlot.paths.bars({ size: [0.8, 8] }) } : {}),
    }))],
    hooks: { setCursor: [(plot) => tell(box, plot, what)] },
  };
}

function tell(box, plot, what) {
  const at = plot.cursor.idx;
  const place = box.querySelector(".readout");
  if (at == null || at === undefined || plot.cursor.left < 0) return;
  const unit = what === "rate" ? "/s" : " ms";
  const told = plot.series.slice(1).map((each, i) => [each.label, plot.data[i + 1][at]]).filter(([name, value]) => value != null && !(name === "errors" && !value));
  place.textContent = `${clock(plot.data[0][at])} UTC · ${told.map(([name, value]) => `${name} ${short(value)}${unit}`).join(" · ")}`;
}

const short = (number) => (number >= 10000 ? `${+(number / 1000).toPrecision(3)}k` : `${+number.toPrecision(3)}`);

new ResizeObserver(() => {
  for (const [place, plot] of drawn) {
    if (place.isConnected && place.clientWidth && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }
}).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
