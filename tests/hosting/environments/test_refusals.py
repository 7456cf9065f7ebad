"""What is said where no environment can be made, and how long that is believed."""

from pathlib import Path

import pytest

from service.errors import NotInstalled
from service.hosting.environments.asked import EnvironmentSpec
from service.hosting.environments.environments import _refusal, _remember_refusal, _repeat_refusal
from service.hosting.environments.interpreters import Interpreter


def test_who_waited_meanwhile_hears_the_same_and_who_comes_later_tries_again(tmp_path: Path) -> None:
    place = tmp_path / "abc"
    _repeat_refusal(place, 0)
    _remember_refusal(place, NotInstalled("no such version", final=True))
    with pytest.raises(NotInstalled, match="no such version") as caught:
        _repeat_refusal(place, 0)
    assert caught.value.final
    _repeat_refusal(place, 2**63)
    assert list(tmp_path.iterdir()) == []
    place.with_suffix(".refused").write_text("half a refus")
    _repeat_refusal(place, 0)


def test_the_reason_is_that_of_the_servers_interpreter_or_the_last_word() -> None:
    asked = EnvironmentSpec(("a==1",), shown="code/requirements.txt")
    own, other = Interpreter("/a", "3.11"), Interpreter("/b", "3.10")
    no, unreachable = NotInstalled("no wheel", final=False), NotInstalled("no index", final=True)
    assert "with Python 3.11: no wheel;" in _refusal(asked, [(own, no)])
    assert "with Python 3.11 (nor with 3.10): no wheel;" in _refusal(asked, [(own, no), (other, no)])
    assert ": no index;" in _refusal(asked, [(own, no), (other, unreachable)])
