"""scipy.stats put off in this process: what a stand-in tells, before the module is there and after."""

import sys
from importlib import import_module

import pytest

from service.hosting.runtimes.scipy_stats import put_off

NAME = "scipy.stats"


def test_what_was_taken_while_it_was_put_off_is_the_real_thing_once_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = import_module(NAME)
    monkeypatch.delitem(sys.modules, NAME)
    with put_off():
        stand_in = import_module(NAME)
        norm = stand_in.norm
        assert stand_in is not real
        assert norm is not real.norm
        assert not hasattr(norm, "__wrapped__")
        assert sys.modules[NAME] is stand_in  # to be inspected loads nothing
        monkeypatch.setitem(sys.modules, NAME, real)
    assert sys.modules[NAME] is real  # what was imported meanwhile stays
    assert norm.cdf(0.0) == 0.5
    assert norm(2.0).mean() == 2.0
    assert stand_in.norm is real.norm


def test_a_module_that_is_there_is_not_put_off() -> None:
    real = import_module(NAME)
    with put_off():
        assert sys.modules[NAME] is real
    assert sys.modules[NAME] is real
