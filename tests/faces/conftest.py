"""What tests of faces share."""

import warnings

import pytest


@pytest.fixture
def hushed_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings as they come when another thread swaps the filters back: what hushes them has no effect."""
    monkeypatch.setattr(warnings, "simplefilter", lambda *_arguments, **_named: None)
