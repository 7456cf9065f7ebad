"""Calls at the edges: of a replica that has loaded nothing, of names and headers without end."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from service.clock import ManualClock
from service.domain.endpoint import ModelSource
from service.errors import ModelNotFound, ModelTimeout
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.calls.batcher import _answer
from service.hosting.host import Answer, Call, Interface, Traits
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.runtimes.faults import code_fault
from service.hosting.runtimes.trial import _try
from service.hosting.stopwatch import Stopwatch
from service.runner.faults import missing_module
from tests.hosting.test_inline import Observer

ROW = Call(b"1,2", "text/csv", "application/json")


class Alone:
    """A model that joins no calls."""

    traits = Traits("a stand-in", 1)

    def answer(self, call: Call) -> Answer:
        return Answer(call.body, "text/plain")

    def interface(self) -> Interface | None:
        return None


def test_calls_of_a_model_that_joins_none_do_not_stand_in_the_line() -> None:
    with pytest.raises(TypeError, match="joins them"):
        _answer(Alone(), [ROW])


def test_what_code_raises_is_worded_as_its_author_wants_to_read_it() -> None:
    class Teapot(Exception):
        status_code = 418

    assert code_fault(Teapot("short and stout")).status == 418
    assert code_fault(SystemExit(3)).message.startswith("the model's code called sys.exit(3)")
    assert code_fault(ValueError()).message.startswith("ValueError")
    assert "the installed sklearn lacks" in missing_module("model.joblib", "sklearn.nowhere")
    assert "sagebird install" in missing_module("model.joblib", "yaml_of_nobody")


def test_a_file_is_tried_and_only_its_size_is_told(tmp_path: Path) -> None:
    small, broken = tmp_path / "small.joblib", tmp_path / "broken.joblib"
    joblib.dump(np.zeros(10), small)
    broken.write_bytes(b"nothing that could be read")
    assert _try(small, 1 << 30) == b"harmless"
    assert _try(small, 10) == b"too large"
    assert _try(broken, 1 << 30) == b"harmless"
    for name, raised in (("memory", "MemoryError()"), ("import", "ImportError('x')")):
        file = tmp_path / f"{name}.pkl"
        file.write_bytes(b'c__builtin__\nexec\n(S"raise ' + raised.replace('"', "'").encode() + b'"\ntR.')
        assert _try(file, 1 << 30) == (b"too large" if name == "memory" else b"harmless")
    chained = tmp_path / "chained.pkl"
    code = "try:\\n raise MemoryError\\nexcept MemoryError as e:\\n raise ValueError from e"
    chained.write_bytes(b"c__builtin__\nexec\n(S'" + code.encode() + b"'\ntR.")
    assert _try(chained, 1 << 30) == b"too large"


def test_names_headers_and_sizes_without_end_are_not_kept(tmp_path: Path) -> None:
    async def test() -> None:
        models = tmp_path / "models"
        (models / "a").mkdir(parents=True)
        joblib.dump(LogisticRegression().fit(np.eye(2), [0, 1]), models / "a" / "model.joblib")
        artifacts = ArtifactStore([models], tmp_path / "unpacked", Limits(2**30, 1000, 100.0))
        host = InlineHost(
            artifacts, HostLimits(2**30), ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), Observer()
        )
        replica = host.single(ModelSource("a"))
        replica.note_cost(ROW, 3, 0.1)
        assert replica.short_way(ROW, [ROW.body]) is None
        assert (await replica.invoke(ROW, Stopwatch())).body in (b"[0]", b"[1]")
        (entry,) = host.cache.loaded
        entry.note_cost(3, 1e-6)
        long = Call(ROW.body, "text/csv; x=" + "y" * 4000, None)
        assert replica.short_way(long, [ROW.body]) is not None
        assert not entry.lanes
        host.cache.resize(entry, entry.size_bytes + 10)
        held = host.cache.held_bytes
        host.sweep()
        host.cache.drop(entry.key)
        host.cache.resize(entry, 10**9)
        assert host.cache.held_bytes <= held
        many = ModelSource("", multi=True)
        with pytest.raises(ModelNotFound):
            host.locate(many, "n" * 2000)
        assert host.locate(ModelSource("a"), "n" * 2000) == host.locate(ModelSource("a"), None)
        await host.close()

    asyncio.run(test())


def test_a_call_in_a_thread_that_takes_too_long_is_late(tmp_path: Path) -> None:
    async def test() -> None:
        models = tmp_path / "models"
        (models / "a").mkdir(parents=True)
        joblib.dump(LogisticRegression().fit(np.eye(2), [0, 1]), models / "a" / "model.joblib")
        artifacts = ArtifactStore([models], tmp_path / "unpacked", Limits(2**30, 1000, 100.0))
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        host = InlineHost(artifacts, HostLimits(2**30, timeout_s=20.0), clock, Observer())
        await host.single(ModelSource("a")).invoke(ROW)
        hurried = host.single(ModelSource("a"))
        hurried._timeout_s = 0.0
        with pytest.raises(ModelTimeout, match="gave no answer within 0 seconds"):
            await hurried.invoke(Call(b"1,2\n" * 5000, "text/csv", None))
        await host.close()

    asyncio.run(test())
