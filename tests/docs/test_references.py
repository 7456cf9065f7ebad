"""What the documents say about the code is so: generated parts, the map of rooms, links, names."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli.server import KEY_VARIABLE, URL_VARIABLE
from service.domain.transform.document import QUARANTINE_VARIABLE, REPORT_VARIABLE
from service.settings import load_settings
from tests.conftest import ROOT
from tests.docs import operations_table
from tests.docs.generated_blocks import BLOCKS, Block, settings_table
from tests.docs.markdown import read_blocks, read_steps
from tests.docs.pages import PAGES, name_of
from tests.test_import_rule import SERVICE, our_sources

DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "data" for part in path.relative_to(ROOT).parts)
)
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:work|tmp|root|home|Users)/")
_CODE = re.compile(r"`[^`\n]+`")
_SETTING = re.compile(r"\bSAGEBIRD_[A-Z_]+\b")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_a_generated_block_is_what_the_code_says(block: Block) -> None:
    assert block.shown() == block.render(), "run: .venv/bin/python tests/docs/generated_blocks.py"


def test_every_served_operation_is_called_by_a_stock_client() -> None:
    assert operations_table.uncalled() == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_mentions_only_settings_and_switches_of_jobs_that_exist(page: Path) -> None:
    mentioned = set(_SETTING.findall(page.read_text(encoding="utf-8")))
    table = next(block for block in BLOCKS if block.name == "settings").render()

    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    known = {*_SETTING.findall(table), *_SETTING.findall(compose)}
    assert mentioned <= {*known, QUARANTINE_VARIABLE, REPORT_VARIABLE, URL_VARIABLE, KEY_VARIABLE}


def test_the_map_names_the_rooms_and_the_libraries_that_each_imports() -> None:
    said = {room: libraries for room, _, _, libraries in _map_rows()}

    assert said == _libraries_by_room()


def test_the_map_names_only_files_that_exist() -> None:
    page = (SERVICE / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", page)

    missing = [name for name in named if not any((folder / name).is_file() for folder in (SERVICE, ROOT))]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_to_files_of_the_repository_and_to_headings_in_them(document: Path) -> None:
    text = _CODE.sub("", document.read_text(encoding="utf-8"))  # patterns look like links, and are none
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text)

    broken = [link for link in links if "://" not in link[0] and not _leads(document, *link)]

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_document_names_a_place_on_somebodys_machine(document: Path) -> None:
    assert _ABSOLUTE.findall(document.read_text(encoding="utf-8")) == []


def test_commands_are_told_from_what_they_print() -> None:
    session = "$ one \\\n  'two\nthree'\nout\n\nput\n$ cat <<'END'\n$x'\nEND\n$ last\n"

    assert list(read_steps(session)) == [
        ("one \\\n  'two\nthree'", "out\n\nput"),
        ("cat <<'END'\n$x'\nEND", ""),
        ("last", ""),
    ]


def test_blocks_are_read_with_their_language(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\na\n```\ntext\n```python\nb\n\nc\n```\n")

    assert [(block.language, block.text) for block in read_blocks(page)] == [
        ("sh", "a\n"),
        ("python", "b\n\nc\n"),
    ]


def _leads(document: Path, target: str, anchor: str) -> bool:
    page = document.parent / target if target else document
    if not anchor:
        return page.exists()
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _map_rows() -> Iterator[tuple[str, str, str, set[str]]]:
    """The rows of the map's first table: room, layer, what lives there, libraries."""
    lines = (SERVICE / "README.md").read_text(encoding="utf-8").splitlines()
    first = lines.index("| room | layer | what lives there | third-party |") + 2
    for line in lines[first:]:
        if not line.startswith("|"):
            return
        room, layer, what, libraries = (cell.strip() for cell in line.strip("|").split("|"))
        yield room, layer, what, set(libraries.replace(",", " ").split())


def _libraries_by_room() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for source in our_sources():
        if source.room:
            packages = {each.module.split(".")[0] for each in source.imports}
            packages = {
                each for each in packages if not each.startswith("_sagebird_")
            }  # of a folder's scripts
            found.setdefault(source.room, set()).update(packages - sys.stdlib_module_names - {"service", ""})
    return found


def test_defaults_of_settings_are_shown_as_people_write_them() -> None:
    shown = dict(re.findall(r"^\| `(SAGEBIRD_\w+)` \| `([^`]*)` \|", settings_table(), re.MULTILINE))

    assert (shown["SAGEBIRD_COMPILE"], shown["SAGEBIRD_MODEL_BUCKETS"]) == ("on", "*")
    for variable, default in shown.items():
        written = default.removeprefix("./")
        name = variable.removeprefix("SAGEBIRD_").lower()
        assert getattr(load_settings(**{name: written}), name) == getattr(load_settings(), name), variable
