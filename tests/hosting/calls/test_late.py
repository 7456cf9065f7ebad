"""Containers in a row that take too long, what tells less than it could, and code that nothing runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.domain.endpoint import ModelSource, Stage
from service.errors import ModelFailure, ModelTimeout
from service.hosting.calls.serial import SerialReplica
from service.hosting.containers.spec import Loaded
from service.hosting.host import Call
from service.hosting.runtimes.faults import code_fault
from service.hosting.runtimes.table import load_model

ASK = Call(b"1", "text/csv", None)
SOURCE = ModelSource("", stages=(Stage("first", ModelSource("a")), Stage("second", ModelSource("b"))))


class Slow:
    """A replica that never answers."""

    async def invoke(self, call: Call, watch: Any = None) -> Any:
        await asyncio.Event().wait()


class OwnTimeout:
    """A replica whose model raises the error that a time-out raises, too."""

    async def invoke(self, call: Call, watch: Any = None) -> Any:
        raise TimeoutError("the model's own")


def test_the_container_that_takes_too_long_is_named() -> None:
    slow: Any = [Slow(), Slow()]
    with pytest.raises(ModelTimeout, match="first gave no answer within 0"):
        asyncio.run(SerialReplica(SOURCE, slow, 0.0).invoke(ASK))
    own: Any = [OwnTimeout(), Slow()]
    with pytest.raises(TimeoutError, match="the model's own"):
        asyncio.run(SerialReplica(SOURCE, own, 60.0).invoke(ASK))


def test_what_a_container_does_not_tell_is_as_if_it_told_nothing() -> None:
    assert Loaded.of({"seconds": 1.0, "kind": None, "functions": ["model_fn"], "new": 1}) == Loaded(
        1.0, functions=("model_fn",)
    )


def test_a_script_where_nothing_runs_scripts_says_so(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text("")
    with pytest.raises(ModelFailure, match="nothing here runs such code"):
        load_model(tmp_path, {})


def test_a_module_that_is_missing_is_named_with_what_installs_it() -> None:
    fault = code_fault(ModuleNotFoundError("No module named 'yaml_of_nobody'", name="yaml_of_nobody"))
    assert "sagebird install yaml-of-nobody" in fault.message
