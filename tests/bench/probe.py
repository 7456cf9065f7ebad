"""A sagebird that times its own layers, under real load: `python -m tests.bench.probe` in place of its serve.

Most layers work once per round of the event loop, so that to look at the clock costs a request little.
"""

import sys
from typing import Any

from service.cli import main
from service.faces.aws.runtime import RuntimeFace
from service.hosting.calls import joining
from service.hosting.calls.joining import Lane
from service.hosting.calls.replica import InlineReplica
from service.hosting.programs.compiled import Quick
from service.http.fastpath import FastProtocol
from service.invoke.predict import Predictor
from service.invoke.round import Round
from service.observe.counter import InvocationCounter
from tests.harness.timing import report_when_asked, timed

_LAYERS: tuple[tuple[str, Any, str], ...] = (
    ("receive", FastProtocol, "data_received"),
    ("round", Round, "finish"),
    ("reply", RuntimeFace, "_answer_all"),
    ("route", Predictor, "answer"),
    ("count", InvocationCounter, "count"),
    ("replica", InlineReplica, "short_way"),
    ("lane", Lane, "answer"),
    ("decode", joining, "read_csv_quickly"),
    ("predict", Quick, "answer_plain"),
)

if __name__ == "__main__":
    for _name, _owner, _function in _LAYERS:
        setattr(_owner, _function, timed(_name, getattr(_owner, _function)))
    report_when_asked()
    sys.argv = ["sagebird", "serve"]
    main()
