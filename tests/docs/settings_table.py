"""Renders the settings table of README.md. `python tests/docs/settings_table.py` writes it into the file."""

import re
from pathlib import Path

from service.settings import Settings

README = Path(__file__).resolve().parents[2] / "README.md"
_BLOCK = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)


def render() -> str:
    """The table, from the settings themselves."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _default(field.default, field.default_factory)
        rows.append(f"| `SAGEBIRD_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def shown() -> str:
    """The table as README.md has it."""
    found = _BLOCK.search(README.read_text(encoding="utf-8"))
    return found[0] if found else ""


def write() -> None:
    """Put the table into README.md."""
    text = README.read_text(encoding="utf-8")
    README.write_text(_BLOCK.sub(lambda _: render(), text), encoding="utf-8")


def _default(value: object, factory: object) -> str:
    if factory is not None:
        return "by the machine"
    if isinstance(value, Path):
        return f"`./{value}`"
    return f"`{value}`" if value not in (None, "", ()) else ""


if __name__ == "__main__":
    write()
