"""The parts of documents that the code says itself: `python tests/docs/generated_blocks.py` writes them anew.

Each stands in its document between `<!-- NAME: ... -->` and `<!-- /NAME -->`, in YAML as comments.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

from service.cli import make_app
from service.settings import Settings

if __name__ == "__main__":  # as a program it has only its own folder on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.docs import operations_table

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
HOWTOS = ROOT / "docs" / "howto"
SHOWN = ROOT / "tests" / "programs" / "shown"
_SET_BY_COMPOSE = (
    "host",
    "port",
    "auth",
    "workers",
    "models",
    "data",
    "endpoints",
    "public_url",
    "allowed_hosts",
)
BAR = "\\|"  # a bar inside a cell


@dataclass(frozen=True, slots=True)
class Block:
    """One generated part: its name, the document it stands in, and what makes it."""

    name: str
    document: Path
    render: Callable[[], str]

    def shown(self) -> str | None:
        """What the document has now; None if the markers are missing."""
        found = self._pattern.search(self.document.read_text(encoding="utf-8"))
        return found[2] if found else None

    def write(self) -> None:
        """Put what the code says between the markers."""
        text = self.document.read_text(encoding="utf-8")
        new = self._pattern.sub(lambda found: f"{found[1]}{self.render()}{found[3]}", text)
        self.document.write_text(new, encoding="utf-8")

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(<!-- {self.name}: .*? -->\n)(.*?)([ #]*<!-- /{self.name} -->)", re.DOTALL)


def settings_table() -> str:
    """Every setting as its variable, its default and its meaning."""
    return _table(
        ("variable", "default", "meaning"),
        (
            (f"`SAGEBIRD_{name.upper()}`", _default(field), str(field.description))
            for name, field in _settings().items()
        ),
    )


def _settings() -> dict[str, FieldInfo]:
    """Those of the class itself come first, as people read them, then those that it has of others."""
    fields, own = Settings.model_fields, Settings.__annotations__
    return {name: fields[name] for name in sorted(fields, key=lambda name: name not in own)}


def compose_settings() -> str:
    """Every setting that docker-compose.yml passes on; the others it sets itself, or they are its folders."""
    names = (name for name in _settings() if name not in _SET_BY_COMPOSE)
    return "".join(f"    SAGEBIRD_{name.upper()}:\n" for name in names)


def commands_table() -> str:
    """Every command of the command line with its arguments and options."""
    commands: dict[str, Any] = typer.main.get_command(make_app()).commands  # type: ignore[attr-defined]  # it is a group
    return _table(
        ("command", "options", "what it does"),
        (
            (
                f"`{' '.join(['sagebird', name, *_arguments(command)])}`",
                " ".join(_options(command)),
                _first_paragraph(command.help),
            )
            for name, command in _each(commands)
        ),
    )


def _each(commands: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its whole name; those below another one in its place."""
    for name, command in commands.items():
        below = getattr(command, "commands", None)
        if below is None:
            yield f"{above}{name}", command
        else:
            yield from _each(below, f"{above}{name} ")


def files_table() -> str:
    """Every file below service/ with the first line of its docstring."""
    folder = ROOT / "service"
    files = (file for file in sorted(folder.rglob("*.py")) if file.name != "__init__.py")
    return _table(
        ("file", "what lives there"),
        ((f"`{file.relative_to(folder).as_posix()}`", _first_line(file)) for file in files),
    )


def operations() -> str:
    """Every operation around inference, whether it is served, which tests call it; a word on the rest."""
    return _table(("operation", "served", "tests"), operations_table.rows()) + "\n" + operations_table.rest()


def program(file: str) -> Callable[[], str]:
    """What shows a program that tests run."""
    language = {".py": "py", ".sh": "bash", ".mjs": "js", ".tf": "hcl"}[Path(file).suffix]
    return lambda: f"```{language}\n{(SHOWN / file).read_text(encoding='utf-8')}```\n"


PROGRAMS = {
    "sagemaker-sdk.md": "sdk2.py",
    "sagemaker-sdk-3.md": "sdk3.py",
    "model-registry.md": "model_registry.py",
    "airflow.md": "airflow_operators.py",
    "mlflow.md": "mlflow_deployments.sh",
    "javascript.md": "javascript.mjs",
    "cdk.md": "cdk_template.py",
    "terraform.md": "terraform/main.tf",
}
BLOCKS = (
    *(Block("program", HOWTOS / page, program(file)) for page, file in PROGRAMS.items()),
    Block("commands", REFERENCE / "commands.md", commands_table),
    Block("settings", REFERENCE / "settings.md", settings_table),
    Block("settings", ROOT / "docker-compose.yml", compose_settings),
    Block("operations", REFERENCE / "operations.md", operations),
    Block("files", ROOT / "service" / "README.md", files_table),
)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |\n" for line in lines)


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return "by the machine"
    if isinstance(field.default, Path):
        return f"`./{field.default}`"
    if isinstance(field.default, bool):
        return "`on`" if field.default else "`off`"
    if isinstance(field.default, float):
        return f"`{field.default:g}`"
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`" if field.default else ""
    return f"`{field.default}`" if field.default not in (None, "") else ""


def _arguments(command: Any) -> list[str]:
    return [_argument(parameter) for parameter in command.params if parameter.param_type_name == "argument"]


def _argument(parameter: Any) -> str:
    name = f"{parameter.metavar or parameter.name.upper()}{'' if parameter.nargs == 1 else '…'}"
    return name if parameter.required else f"[{name}]"


def _options(command: Any) -> list[str]:
    return [f"`{parameter.opts[0]}`" for parameter in command.params if parameter.param_type_name == "option"]


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def _first_line(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0]


if __name__ == "__main__":
    for block in BLOCKS:
        block.write()
        sys.stdout.write(f"{block.document.relative_to(ROOT)}: {block.name}\n")
