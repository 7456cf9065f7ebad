// A typed client of a running server: types from its own /openapi.json, calls of iris and bird-strike.
// `make client` generates schema.ts from the server, compiles this file strictly and runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const client = createClient<paths, "application/json">({ baseUrl: process.argv[2]! });

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
  console.log(`ok: ${what}`);
}

// iris: rows of four numbers in, one of three classes for each out
const rows = await client.POST("/endpoints/iris/invocations", {
  body: [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]],
});
if (rows.error) throw new Error(rows.error.Message);
const kinds: (0 | 1 | 2)[] = rows.data;
check(JSON.stringify(kinds) === "[0,2]", "iris answers rows with its classes");

// … or records by the names of the columns, of one variant by a header whose values are known
const records = await client.POST("/endpoints/iris/invocations", {
  params: { header: { "X-Amzn-SageMaker-Target-Variant": "forest" } },
  body: [
    { "sepal length (cm)": 5.1, "sepal width (cm)": 3.5, "petal length (cm)": 1.4, "petal width (cm)": 0.2 },
  ],
});
if (records.error) throw new Error(records.error.Message);
check(records.data[0] === 0, "iris answers records");
check(records.response.headers.get("x-amzn-invoked-production-variant") === "forest", "the variant asked for answers");

// bird-strike: words that the model knows, gaps, and an answer in the script's own words
const strikes = await client.POST("/endpoints/bird-strike/invocations", {
  body: [{ wildlife_size: "large", phase_of_flight: "climb", time_of_day: "dusk", speed_knots: null }],
});
if (strikes.error) throw new Error(strikes.error.Message);
const [first] = strikes.data.predictions;
const damage: "yes" | "no" = first!.damage;
const probability: number = first!.probability;
check(damage === "yes" && probability > 0.5 && probability < 1, "bird-strike answers in its own words");

// An error has a shape of its own
const refused = await client.POST("/endpoints/bird-strike/invocations", { body: [] });
check(refused.response.status === 424, "an empty list is refused");
const error = refused.error as components["schemas"]["ModelError"];
check(error.OriginalStatusCode === 400 && error.OriginalMessage.includes("no rows"), "the model's own words are there");

// An A/B test: a user keeps his variant, what came of it is reported by the answer's own id, and read again
const sent = await client.POST("/endpoints/iris/invocations", {
  params: { header: { "X-Sagebird-User": "anna" } },
  body: [[5.1, 3.5, 1.4, 0.2]],
});
const id = sent.response.headers.get("x-amzn-sagemaker-inference-id")!;
const at = { params: { path: { name: "iris" } } };
const click: components["schemas"]["Outcome"] = { inference_id: id, click: true };
const reported = await client.POST("/endpoints/{name}/outcomes", { ...at, body: click });
if (reported.error) throw new Error("message" in reported.error ? reported.error.message : reported.error.Message);
const receipt: components["schemas"]["Receipt"] = reported.data;
check(receipt.counted + receipt.waiting === 1, "an outcome is reported of a user's call");

const looked = await client.GET("/endpoints/{name}/experiment", { params: { path: { name: "iris" }, query: { window: "day" } } });
if (looked.error) throw new Error("the experiment is not told");
const experiment: components["schemas"]["Experiment"] = looked.data;
const shares: number = experiment.variants.reduce((sum, variant) => sum + variant.share, 0);
const better: string | null = experiment.better;
check(shares === 1 && better === null && experiment.window?.last === "day", "the experiment is told by its members");

const unfit = await client.POST("/endpoints/{name}/outcomes", { ...at, body: { inference_id: id, click: "maybe" } });
check(unfit.response.status === 400 && "message" in unfit.error!, "an outcome that is none is refused in a sentence");
const unknown = await client.POST("/endpoints/{name}/promote", { params: { path: { name: "nobody" } }, body: { stop: true } });
check(unknown.response.status === 404, "who is not there is not promoted");
check("message" in unknown.error! && unknown.error.message.length > 0, "which a sentence says");

// What the types forbid. Each line would fail to compile without its mark.
// @ts-expect-error: iris takes numbers
void (() => client.POST("/endpoints/iris/invocations", { body: [["a", "b", "c", "d"]] }));
// @ts-expect-error: no such size
void (() => client.POST("/endpoints/bird-strike/invocations", { body: [{ wildlife_size: "huge", phase_of_flight: "climb", time_of_day: "dusk", speed_knots: 1 }] }));
// @ts-expect-error: no such variant
void (() => client.POST("/endpoints/iris/invocations", { params: { header: { "X-Amzn-SageMaker-Target-Variant": "nobody" } }, body: [[1, 2, 3, 4]] }));
// @ts-expect-error: a multi-model endpoint needs the model's name
void (() => client.POST("/endpoints/catalogue/invocations", { body: [[1]] }));
// @ts-expect-error: an outcome is of a prediction
void (() => client.POST("/endpoints/{name}/outcomes", { ...at, body: { click: true } }));
// @ts-expect-error: no such member
void (() => receipt.accepted);
