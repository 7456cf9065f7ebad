"""Snippets that ask an endpoint, in several languages. What an endpoint says of itself is data, no code."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from shlex import quote
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote as quote_path

_JSON: Final = "application/json"
_CSV: Final = "text/csv"
_KEY: Final = "SAGEBIRD_API_KEY"
_PLAIN: Final = MappingProxyType(
    {
        **{kind: kind for kind in ("string", "number", "boolean", "null")},
        "integer": "number",
    }
)
_RECEIPT: Final = ("counted", "waiting", "repeated", "contradicting")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class DescribedEndpoint:
    """An endpoint of a server: its description as GET /endpoints/NAME gives it."""

    server: str
    found: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The endpoint's."""
        return str(self.found["name"])

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"{self.server}{self.found['invocations']}"

    @property
    def outcomes_url(self) -> str:
        """Where it is told what came of its predictions."""
        return f"{self.server}/endpoints/{quote_path(self.name, safe='')}/outcomes"

    @property
    def target(self) -> str | None:
        """The model that is named in a call, if one has to be."""
        return next(iter(self.found["models"]), None)

    @property
    def content_type(self) -> str:
        """That of the example: JSON where there is one."""
        examples = self.found["input"]["examples"]
        return _JSON if _JSON in examples else next(iter(examples), _CSV)

    @property
    def body(self) -> str:
        """An example that works, "" if none is known."""
        return str(self.found["input"]["examples"].get(self.content_type, ""))

    @property
    def headers(self) -> dict[str, str]:
        """Those of each call, but for a key."""
        named = {} if self.target is None else {"X-Amzn-SageMaker-Target-Model": self.target}
        return {"Content-Type": self.content_type, **named}


def as_curl(asked: DescribedEndpoint) -> str:
    """One command."""
    lines = [f"curl {_shell(asked.url)}"]
    lines += [f"-H {_shell(f'{name}: {value}')}" for name, value in asked.headers.items()]
    lines.append(f'-H "X-Api-Key: ${{{_KEY}:-}}"')
    lines.append(f"--data-binary {_shell(asked.body.rstrip())}")
    return " \\\n  ".join(lines)


def _shell(text: str) -> str:
    """A word of a shell; what would steer a terminal is written as bash and its kin read it."""
    if text.replace("\n", "").isprintable():
        return quote(text)
    escaped = "".join(each if each.isprintable() and each not in "\\'" else _octal(each) for each in text)
    return f"$'{escaped}'"


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass"))


def as_python(asked: DescribedEndpoint) -> str:
    """A module without dependencies, which asks its example where it is run by itself."""
    rows = asked.body.rstrip()
    is_json = asked.content_type == _JSON
    example = repr(json.loads(rows)) if is_json and rows else repr(rows)
    body = "json.dumps(rows)" if is_json else "rows"
    return f'''"""Predictions of an endpoint of sagebird, and what came of them; needs nothing but Python."""

import json
import os
import urllib.request

URL = {asked.url!r}
OUTCOMES_URL = {asked.outcomes_url!r}
HEADERS = {asked.headers!r}


def predict(rows, user=""):
    """What the endpoint answers, by which variant, and the id by which outcomes are reported of it.

    The same user always asks the same variant; a call without a user has no id.
    """
    headers = {{**HEADERS, "Accept": "application/json"}}
    if user:
        headers["X-Sagebird-User"] = user
    with _send(URL, headers, {body}) as answer:
        return {{
            "answer": json.load(answer),
            "variant": answer.headers["x-amzn-invoked-production-variant"],
            "id": answer.headers["x-amzn-sagemaker-inference-id"],
        }}


def report_outcome(id, outcome):
    """Say what came of a prediction, by its id: {{"click": True}}."""
    body = json.dumps({{"inference_id": id, **outcome}})
    with _send(OUTCOMES_URL, {{"Content-Type": "application/json"}}, body) as answer:
        return json.load(answer)


def _send(url, headers, body):
    if os.environ.get({_KEY!r}):
        headers["X-Api-Key"] = os.environ[{_KEY!r}]
    return urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=60)


if __name__ == "__main__":
    print(json.dumps(predict({example})))'''


def as_javascript(asked: DescribedEndpoint) -> str:
    """A module for node and browsers, with its example in a comment: it is there to be imported."""
    return _script(asked, typed=False)


def as_typescript(asked: DescribedEndpoint) -> str:
    """The same with the types of rows and of the answer."""
    rows = _type(asked.found["input"]["schema"]) if asked.content_type == _JSON else "string"
    types = (
        f"export type Rows = {rows};",
        f"export type Answer = {_type(asked.found['output']['schema'])};",
        "export type Prediction = { answer: Answer; variant: string | null; id: string | null };",
        f"export type Receipt = {{ {'; '.join(f'{each}: number' for each in _RECEIPT)} }};",
        "declare const process: { env: Record<string, string | undefined> } | undefined;",
    )
    return "\n".join(types) + "\n\n" + _script(asked, typed=True)


def _script(asked: DescribedEndpoint, *, typed: bool) -> str:
    def of(kind: str) -> str:
        return f": {kind}" if typed else ""

    is_json = asked.content_type == _JSON
    body = "JSON.stringify(rows)" if is_json else "rows"
    text = asked.body.rstrip()
    example = (json.dumps(json.loads(text)) if text else "[]") if is_json else json.dumps(text)
    headers = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in asked.headers.items())
    strings = "Record<string, string>"
    return f"""const url = {json.dumps(asked.url)};
const outcomesUrl = {json.dumps(asked.outcomes_url)};
const key = typeof process === "undefined" ? undefined : process.env.{_KEY};

// What the endpoint answers, by which variant, and the id by which outcomes are reported of it.
// The same user always asks the same variant; a call without a user has no id.
export async function predict(rows{of("Rows")}, user{of("string")} = ""){of("Promise<Prediction>")} {{
  const headers{of(strings)} = {{ {headers}, Accept: "application/json" }};
  if (user) headers["X-Sagebird-User"] = user;
  const answer = await send(url, headers, {body});
  return {{
    answer: {"(await answer.json()) as Answer" if typed else "await answer.json()"},
    variant: answer.headers.get("x-amzn-invoked-production-variant"),
    id: answer.headers.get("x-amzn-sagemaker-inference-id"),
  }};
}}

// Say what came of a prediction, by its id: {{ click: true }}.
export async function reportOutcome(id{of("string")}, outcome{of("object")}){of("Promise<Receipt>")} {{
  const body = JSON.stringify({{ inference_id: id, ...outcome }});
  const answer = await send(outcomesUrl, {{ "Content-Type": "application/json" }}, body);
  return {"(await answer.json()) as Receipt" if typed else "await answer.json()"};
}}

async function send(url{of("string")}, headers{of(strings)}, body{of("string")}){of("Promise<Response>")} {{
  if (key) headers["X-Api-Key"] = key;
  const answer = await fetch(url, {{ method: "POST", headers, body }});
  if (!answer.ok) throw new Error(`${{answer.status}}: ${{await answer.text()}}`);
  return answer;
}}

// For example:
// console.log(JSON.stringify(await predict({example}, "anna")));"""


def _type(schema: Mapping[str, Any]) -> str:
    """The type in TypeScript of what a JSON Schema of an endpoint describes; `any` of what it leaves open."""
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": each}) for each in kind)
    if kind == "array":
        inner = _type(schema.get("items") or {})
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        required = set(schema.get("required") or ())
        members = [
            f"{_member(name)}{'' if name in required else '?'}: {_type(each)}"
            for name, each in (schema.get("properties") or {}).items()
        ]
        return "{ " + "; ".join(members) + " }" if members else "Record<string, any>"
    return _PLAIN.get(str(kind), "any")


def _member(name: str) -> str:
    return name if _WORD.fullmatch(name) else json.dumps(name)


LANGUAGES: Final[Mapping[str, Callable[[DescribedEndpoint], str]]] = MappingProxyType(
    {"ts": as_typescript, "js": as_javascript, "python": as_python, "curl": as_curl}
)
"""The languages that there are."""
