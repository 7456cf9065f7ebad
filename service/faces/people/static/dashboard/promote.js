// Promotes a variant by the request that the words above the button were made with, once somebody says so.

import { ask } from "./ask.js";

const FORM = "form.promotion";
const STOP = '{"stop": true}';
const wanted = (form) => form.querySelector(".preview [data-request]")?.dataset.request;

export function beginPromotions() {
  document.addEventListener("toggle", (event) => {
    const form = event.target.open && event.target.querySelector?.(FORM);
    if (form) propose(form);
  }, true);
  document.addEventListener("input", (event) => {
    const form = event.target.closest(FORM);
    if (!form) return;
    form.querySelector("button.main").disabled = true;
    form.querySelector(".told").textContent = "";
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(FORM)) return;
    event.preventDefault();
    if (wanted(event.target)) send(event.target, wanted(event.target));
  });
  document.addEventListener("click", (event) => {
    if (event.target.matches(`${FORM} .stop`)) send(event.target.closest(FORM), STOP);
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    const form = event.target.closest(FORM);
    if (form) form.querySelector("button.main").disabled = !wanted(form);
  });
}

const card = (form) => form.closest("article").querySelector(".experiment");

// Whoever is better is proposed, and what that would do is said.
function propose(form) {
  const better = card(form)?.dataset.better;
  if (better) form.elements.variant.value = better;
  form.elements.variant.dispatchEvent(new Event("input", { bubbles: true }));
}

export function showRamps() {
  for (const form of document.querySelectorAll(FORM)) form.querySelector(".stop").hidden = card(form)?.dataset.plan !== "running";
}

async function send(form, body) {
  const told = form.querySelector(".told");
  form.querySelector("button.main").disabled = true;
  told.className = "told";
  told.textContent = "asking …";
  try {
    const answer = await ask(`/endpoints/${encodeURIComponent(form.dataset.endpoint)}/promote`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body,
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.message ?? found.Message ?? answer.statusText);
    told.textContent = say(body, found);
    form.querySelector(".preview").textContent = "";
  } catch (error) {
    told.className = "told bad";
    told.textContent = error.message;
    form.querySelector("button.main").disabled = !wanted(form);
  }
}

const say = (body, { ramp, note }) =>
  body === STOP ? "It is stopped." : `${ramp.variant} has ${ramp.steps[ramp.step]} %.${note ? ` ${note}` : ""}`;
