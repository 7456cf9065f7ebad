// Predictions of a sagebird server: docs/howto/web-page.md
const set = { url: new URL(import.meta.url).origin, key: "", userHeader: "X-Sagebird-User", retries: 4, longest: 30 };
const json = "application/json";

/** Another server, a key, how often to try again, the longest wait. */
export const configure = (given) => Object.assign(set, given);

/** The server's refusal: its sentence, status and request id. */
export class Refusal extends Error {
  constructor(answer, text) {
    let told;
    try { told = JSON.parse(text); } catch { /* a sentence */ }
    super(told?.OriginalMessage ?? told?.Message ?? told?.message ?? text);
    this.status = answer.status;
    this.requestId = answer.headers.get("x-amzn-requestid");
  }
}

/** Ask an endpoint for rows: JSON, or a text of CSV. Comes to { answer, variant, id }. */
export async function predict(endpoint, rows, { user, variant, model, accept, id, headers, signal } = {}) {
  const csv = typeof rows === "string";
  const answer = await send(endpoint, "invocations", {
    "Content-Type": csv ? "text/csv" : json, Accept: accept, [set.userHeader]: user,
    "X-Amzn-SageMaker-Target-Variant": variant, "X-Amzn-SageMaker-Target-Model": model,
    "X-Amzn-SageMaker-Inference-Id": id, ...headers,
  }, csv ? rows : JSON.stringify(rows), { signal });
  const told = (name) => answer.headers.get(name);
  const text = await answer.text();
  return {
    answer: told("content-type")?.includes("json") ? JSON.parse(text) : text,
    variant: told("x-amzn-invoked-production-variant"),
    id: told("x-amzn-sagemaker-inference-id"),
  };
}

/** Say what came of a prediction, by its id: { click: 1 }. */
export async function reportOutcome(endpoint, id, outcome, { signal } = {}) {
  const body = JSON.stringify({ inference_id: id, ...outcome });
  return (await send(endpoint, "outcomes", {}, body, { signal, keepalive: true })).json();
}

async function send(endpoint, action, given, body, options) {
  if (set.url === "null") throw Error("configure({url}) first");
  const all = Object.entries({ "Content-Type": json, "X-Api-Key": set.key || undefined, ...given });
  const headers = Object.fromEntries(all.filter(([, value]) => value !== undefined));
  for (let turn = 0; ; turn++) {
    const url = `${set.url}/endpoints/${encodeURIComponent(endpoint)}/${action}`;
    const answer = await fetch(url, { method: "POST", headers, body, ...options });
    if (answer.ok) return answer;
    const said = answer.headers.get("retry-after");
    const least = said === null ? 0.2 : Math.max(0, +said || (Date.parse(said) - Date.now()) / 1000 || 0);
    const again = [429, 503].includes(answer.status) && turn < set.retries && least <= set.longest;
    if (!again) throw new Refusal(answer, await answer.text());
    // Apart from others.
    const wait = least + Math.random() * Math.min(2 ** turn * (least || 0.1), set.longest);
    await new Promise((done) => setTimeout(done, 1000 * wait));
    options.signal?.throwIfAborted();
  }
}
