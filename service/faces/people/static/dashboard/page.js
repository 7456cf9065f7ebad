// Keeps the page up to date, and shifts traffic when somebody says so. Cards come from the server as HTML.

import { ask, whenKeyed } from "./ask.js";
import { begin, show } from "./attempt.js";
import { draw, drawAll, takeClosed, takeLast } from "./charts.js";
import { beginPromotions, showRamps } from "./promote.js";

const SILENT_MS = 15000;
const LONGEST_WAIT_MS = 10000;
const main = document.getElementById("main");
const live = document.getElementById("live");
const weights = new Map(); // endpoint -> { variant: weight }, those that serve now
let following = null;
let isFollowing = false;
let redrawn = 0;

function say(state, text) {
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = text;
}

// ---- what the server sends

async function follow() {
  if (isFollowing) return;
  isFollowing = true;
  try {
    await followOn();
  } finally {
    isFollowing = false;
  }
}

async function followOn() {
  for (let wait = 500; !document.hidden;) {
    following = new AbortController();
    const mine = following;
    let silence = null;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => mine.abort(), SILENT_MS);
    };
    try {
      heard();
      const answer = await ask("/dashboard/live", { signal: mine.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      for await (const news of events(answer.body, heard)) {
        wait = 500;
        say("live", "live");
        take(news);
      }
    } catch { /* said below, and tried again */ } finally {
      clearTimeout(silence);
    }
    if (document.hidden) return;
    say("lost", "no connection, trying again");
    await new Promise((done) => { setTimeout(done, wait); });
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const each of whole) if (each.startsWith("data: ")) yield JSON.parse(each.slice(6));
  }
}

function take(news) {
  for (const [endpoint, those] of Object.entries(news.weights ?? {})) takeWeights(endpoint, those);
  for (const [name, html] of Object.entries(news.parts ?? {})) put(name, html);
  showRamps();
  for (const [endpoint, chart] of Object.entries(news.charts ?? {})) takeClosed(endpoint, chart);
  for (const [endpoint, chart] of Object.entries(news.tails ?? {})) takeLast(endpoint, chart);
  for (const endpoint of new Set([...Object.keys(news.charts ?? {}), ...Object.keys(news.tails ?? {})])) draw(endpoint);
  if (news.layout) renew(news.layout.board);
}

function put(name, html) {
  for (const place of document.querySelectorAll("[data-part]")) {
    if (place.dataset.part !== name) continue;
    const scrolled = [...place.querySelectorAll("[tabindex]")].map((each) => [each.scrollLeft, each.scrollTop, each === document.activeElement]);
    place.innerHTML = html;
    place.querySelectorAll("[tabindex]").forEach((each, i) => {
      if (!scrolled[i]) return;
      [each.scrollLeft, each.scrollTop] = scrolled[i];
      if (scrolled[i][2]) each.focus({ preventScroll: true });
    });
  }
}

// Other endpoints or variants: all is drawn anew, but not under somebody's hands.
function renew(layout) {
  const board = document.getElementById("board");
  if (!board || board.dataset.layout === layout || Date.now() - redrawn < 2000) return;
  if (board.querySelector("details[open]") && !board.querySelector(".renew")) {
    const bar = document.createElement("p");
    bar.className = "notice renew";
    bar.setAttribute("role", "status");
    bar.textContent = "Endpoints or variants have changed. ";
    const button = document.createElement("button");
    button.textContent = "Draw the page anew";
    button.addEventListener("click", () => htmx.trigger(main, "renew"));
    bar.append(button);
    board.prepend(bar);
  } else if (!board.querySelector("details[open]")) {
    htmx.trigger(main, "renew");
  }
}

// ---- traffic

const total = (those) => Object.values(those).reduce((sum, each) => sum + each, 0);
const percent = (variant, those) => (total(those) ? Math.round((100 * those[variant]) / total(those)) : 0);
const sliders = (form) => [...form.querySelectorAll("input[type=range]")];

function takeWeights(endpoint, those) {
  weights.set(endpoint, those);
  for (const form of document.querySelectorAll("form.weights")) {
    if (form.dataset.endpoint === endpoint && !form.dataset.moved) reset(form);
  }
}

function reset(form) {
  const those = weights.get(form.dataset.endpoint);
  delete form.dataset.moved;
  form.querySelector("button.main").disabled = true;
  if (!those) return;
  for (const slider of sliders(form)) set(slider, percent(slider.dataset.variant, those));
}

function set(slider, value) {
  slider.value = value;
  slider.nextElementSibling.value = `${value} %`;
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("form.weights");
  if (!form) return;
  form.dataset.moved = "yes";
  form.querySelector(".told").textContent = "";
  form.querySelector("button.main").disabled = false;
  set(event.target, event.target.value);
  const others = sliders(form).filter((each) => each !== event.target);
  if (others.length === 1) set(others[0], 100 - event.target.value);
});
document.addEventListener("reset", (event) => {
  if (!event.target.matches("form.weights")) return;
  event.preventDefault();
  reset(event.target);
  event.target.querySelector(".preview").textContent = "As it is now.";
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.weights")) return;
  event.preventDefault();
  apply(event.target);
});

// By the operation that everybody uses; a page of another site cannot send its headers.
async function apply(form) {
  const told = form.querySelector(".told");
  const desired = sliders(form).map((slider) => ({ VariantName: slider.dataset.variant, DesiredWeight: Number(slider.value) }));
  form.querySelector("button.main").disabled = true;
  told.className = "told";
  told.textContent = "asking …";
  try {
    const answer = await ask("/", {
      method: "POST",
      headers: { "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.UpdateEndpointWeightsAndCapacities" },
      body: JSON.stringify({ EndpointName: form.dataset.endpoint, DesiredWeightsAndCapacities: desired }),
    });
    if (!answer.ok) throw new Error((await answer.json()).message ?? answer.statusText);
    weights.set(form.dataset.endpoint, Object.fromEntries(desired.map((each) => [each.VariantName, each.DesiredWeight])));
    delete form.dataset.moved;
    told.textContent = "Shifted.";
    form.querySelector(".preview").textContent = "";
  } catch (error) {
    told.className = "told bad";
    told.textContent = error.message;
    form.querySelector("button.main").disabled = false;
  }
}

// ---- beginning

document.body.addEventListener("htmx:load", (event) => {
  const place = event.detail.elt;
  const all = (kind) => [...(place.matches?.(kind) ? [place] : []), ...place.querySelectorAll(kind)];
  for (const form of all("form.ask")) show(form);
  if (place.id === "board" || place.querySelector?.("#board")) {
    redrawn = Date.now();
    drawAll();
    showRamps();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) following?.abort();
  else follow();
});
whenKeyed(() => {
  htmx.trigger(main, "renew");
  following?.abort();
});
begin();
beginPromotions();
follow();
