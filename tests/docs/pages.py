"""Which documents are for users: README.md and what lies in docs/ by purpose. Each is followed by a test."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
PURPOSES = ("howto", "reference", "explain")
PAGES = [
    README,
    ROOT / "docs" / "quickstart.md",
    *(page for purpose in PURPOSES for page in sorted((ROOT / "docs" / purpose).glob("*.md"))),
]


def name_of(page: Path) -> str:
    """The page as tests name it."""
    return page.relative_to(ROOT).as_posix()
