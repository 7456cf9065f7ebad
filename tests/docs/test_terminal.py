"""What a terminal shows in the end, and what it showed only for a while."""

from pathlib import Path

from tests.docs.terminal import Terminal


def test_progress_that_was_erased_is_not_shown(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "http://127.0.0.1:1")
    assert terminal.type(r"printf 'first\nwait\r\033[2Kstill\r\n\r\033[1A\033[2Kdone\n'") == "first\ndone"


def test_colours_are_not_shown(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "http://127.0.0.1:1")
    assert terminal.type(r"printf '\033[32mgreen\033[0m\n'") == "green"
