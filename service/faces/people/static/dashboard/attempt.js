// "Try it": a request put together from a form, sent as anybody would send it, and shown as others would write it.

import { ask, hasKey } from "./ask.js";

const MOST_SHOWN = 20000;

// One listener of each kind for all forms: a form that has just come works at once.
export function begin() {
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form.ask")) return;
    event.preventDefault();
    send(event.target);
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form.ask");
    if (form) show(form);
  });
  document.addEventListener("click", (event) => {
    const form = event.target.closest("form.ask");
    if (!form) return;
    if (event.target.matches("[role=tab]")) choose(form, event.target);
    if (event.target.matches(".copy")) copy(form, event.target);
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !event.target.matches("form.ask [role=tab]")) return;
    const tabs = [...event.target.parentElement.children];
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    choose(event.target.closest("form"), next);
    next.focus();
  });
}

async function copy(form, button) {
  const code = form.querySelector(".code pre code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch { // not allowed, as on a page over http from another machine
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function choose(form, tab) {
  for (const other of form.querySelectorAll("[role=tab]")) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
  }
  form.querySelector("[role=tabpanel]").setAttribute("aria-labelledby", tab.id);
  show(form);
}

// The exact request.
function request(form) {
  const headers = { "Content-Type": form.dataset.type };
  for (const each of form.querySelectorAll("[data-header]")) if (each.value) headers[each.dataset.header] = each.value;
  const path = `/endpoints/${encodeURIComponent(form.dataset.endpoint)}/invocations`;
  return { path, headers, body: body(form) };
}

function body(form) {
  const fields = [...form.querySelectorAll("[data-field]")];
  if (form.dataset.kind === "records") {
    return JSON.stringify([Object.fromEntries(fields.map((field) => [field.dataset.field, value(field)]))]);
  }
  if (form.dataset.kind === "csv") return fields.map((field) => field.value.trim()).join(",");
  return form.querySelector("[data-body]").value;
}

function value(field) {
  const text = field.value;
  if (field.dataset.as === "number") return text.trim() === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  return field.tagName === "SELECT" && text === "" ? null : text;
}

async function send(form) {
  const place = form.querySelector(".answer");
  const button = form.querySelector("button.main");
  const { path, headers, body } = request(form);
  button.disabled = true;
  const began = performance.now();
  try {
    const answer = await ask(path, { method: "POST", headers, body });
    const bytes = await answer.arrayBuffer();
    const took = performance.now() - began;
    const text = new TextDecoder().decode(bytes.slice(0, MOST_SHOWN));
    const told = [];
    const variant = answer.headers.get("x-amzn-invoked-production-variant");
    if (variant) told.push(["by", variant]);
    told.push(["in", `${took < 10 ? took.toFixed(1) : took.toFixed(0)} ms`], ["status", answer.status]);
    const id = answer.headers.get("x-amzn-requestid");
    if (id) told.push(["request", id]);
    place.replaceChildren(element("pre", answer.ok ? "" : "bad", pretty(text, answer) + (bytes.byteLength > MOST_SHOWN ? " …" : "")), element("p", "soft", told.map((each) => each.join(" ")).join(" · ")));
    place.dataset.status = answer.status;
  } catch (error) {
    place.replaceChildren(element("p", "bad", `The server could not be asked: ${error.message}`));
  } finally {
    button.disabled = false;
  }
}

function pretty(text, answer) {
  if (!(answer.headers.get("content-type") ?? "").includes("json")) return text;
  try {
    const written = JSON.stringify(JSON.parse(text));
    return written.length > 100 ? JSON.stringify(JSON.parse(text), null, 1) : written;
  } catch {
    return text;
  }
}

function element(name, kind, text) {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}

export function show(form) {
  const chosen = form.querySelector("[role=tab][aria-selected=true]").dataset.language;
  form.querySelector(".code pre code").textContent = { curl, Python: python, JavaScript: javascript }[chosen](form.dataset.endpoint, request(form));
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const quoted = (text) => JSON.stringify(text);

function curl(_, { path, headers, body }) {
  const shown = Object.entries(headers).map(([name, each]) => ` \\\n  -H ${shell(`${name}: ${each}`)}`);
  if (hasKey()) shown.push(' \\\n  -H "X-Api-Key: $SAGEBIRD_KEY"');
  return `curl ${shell(location.origin + path)}${shown.join("")} \\\n  --data-binary ${shell(body)}`;
}

const MEMBERS = {
  "Content-Type": "ContentType",
  "X-Amzn-SageMaker-Target-Model": "TargetModel",
  "X-Amzn-SageMaker-Target-Variant": "TargetVariant",
  "X-Amzn-SageMaker-Target-Container-Hostname": "TargetContainerHostname",
};

function python(endpoint, { headers, body }) {
  const members = Object.entries(headers).map(([name, each]) => `    ${MEMBERS[name]}=${quoted(each)},\n`).join("");
  return `import boto3\n\nruntime = boto3.client(\n    "sagemaker-runtime", endpoint_url=${quoted(location.origin)}, region_name="us-east-1",\n    aws_access_key_id="any", aws_secret_access_key="any",\n)\nanswer = runtime.invoke_endpoint(\n    EndpointName=${quoted(endpoint)},\n${members}    Body=${quoted(body)}.encode(),\n)\nprint(answer["Body"].read().decode(), answer["InvokedProductionVariant"])`;
}

function javascript(_, { path, headers, body }) {
  const lines = Object.entries(headers).map(([name, each]) => `    ${quoted(name)}: ${quoted(each)},\n`);
  if (hasKey()) lines.push('    "X-Api-Key": key,\n');
  return `const answer = await fetch(${quoted(location.origin + path)}, {\n  method: "POST",\n  headers: {\n${lines.join("")}  },\n  body: ${quoted(body)},\n});\nconsole.log(await answer.text(), answer.headers.get("x-amzn-invoked-production-variant"));`;
}
