"""Snippets that ask an endpoint, in several languages. What an endpoint says of itself is data, no code."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from shlex import quote
from types import MappingProxyType
from typing import Any, Final

_JSON: Final = "application/json"
_CSV: Final = "text/csv"
_KEY: Final = "SAGEBIRD_API_KEY"
_PLAIN: Final = MappingProxyType(
    {
        **{kind: kind for kind in ("string", "number", "boolean", "null")},
        "integer": "number",
    }
)
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
    """A module without dependencies, which asks its example when it is run."""
    rows = asked.body.rstrip()
    is_json = asked.content_type == _JSON
    example = repr(json.loads(rows)) if is_json and rows else repr(rows)
    body = "json.dumps(rows)" if is_json else "rows"
    return f'''"""Predictions of an endpoint of sagebird; needs nothing but Python."""

import json
import os
import urllib.request

URL = {asked.url!r}
HEADERS = {asked.headers!r}


def predict(rows, user=""):
    """What the endpoint answers; the same user always asks the same variant."""
    headers = {{**HEADERS, "Accept": "application/json"}}
    if user:
        headers["X-Sagebird-User"] = user
    if os.environ.get({_KEY!r}):
        headers["X-Api-Key"] = os.environ[{_KEY!r}]
    request = urllib.request.Request(URL, {body}.encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    print(json.dumps(predict({example})))'''


def as_javascript(asked: DescribedEndpoint) -> str:
    """A module for node and browsers, which asks its example when it is run."""
    return _script(asked, "rows", 'user = ""', "")


def as_typescript(asked: DescribedEndpoint) -> str:
    """The same with the types of rows and of the answer."""
    types = [f"export type Rows = {_type(asked.found['input']['schema'])};"]
    types.append(f"export type Answer = {_type(asked.found['output']['schema'])};")
    if asked.content_type != _JSON:
        types[0] = "export type Rows = string;"
    types.append("declare const process: { env: Record<string, string | undefined> } | undefined;")
    return _script(asked, "rows: Rows", 'user: string = ""', "\n".join(types) + "\n\n")


def _script(asked: DescribedEndpoint, rows: str, user: str, types: str) -> str:
    is_json = asked.content_type == _JSON
    typed = bool(types)
    body = "JSON.stringify(rows)" if is_json else "rows"
    text = asked.body.rstrip()
    example = (json.dumps(json.loads(text)) if text else "[]") if is_json else json.dumps(text)
    headers = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in asked.headers.items())
    return f"""{types}const url = {json.dumps(asked.url)};
const key = typeof process === "undefined" ? undefined : process.env.{_KEY};

// What the endpoint answers; the same user always asks the same variant.
export async function predict({rows}, {user}){": Promise<Answer>" if typed else ""} {{
  const headers{": Record<string, string>" if typed else ""} = {{ {headers}, Accept: "application/json" }};
  if (user) headers["X-Sagebird-User"] = user;
  if (key) headers["X-Api-Key"] = key;
  const answer = await fetch(url, {{ method: "POST", headers, body: {body} }});
  if (!answer.ok) throw new Error(`${{answer.status}}: ${{await answer.text()}}`);
  return {"(await answer.json()) as Answer" if typed else "answer.json()"};
}}

console.log(JSON.stringify(await predict({example})));"""


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
