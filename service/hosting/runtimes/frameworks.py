"""Models of other libraries than scikit-learn: each is served by a script of ours, in a container.

No such library is imported by a gateway: they bring threads, memory and crashes of native code. A script runs
in the server's environment or in one of the model's own, as a model's script does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from service.domain.image import is_xgboost
from service.errors import ModelFailure
from service.hosting.containers.forks import RUNNER
from service.hosting.host import Model
from service.hosting.runtimes import contained, lightgbm_files, xgboost_answers
from service.hosting.runtimes.file_programs import ReadFile
from service.hosting.runtimes.finding import pickles_in
from service.hosting.runtimes.fronted import front_of
from service.hosting.runtimes.recognising import all_files, files_of
from service.hosting.runtimes.runtime import Contents, Runtime
from service.media.types import CSV, FRAMEWORKS

_SCRIPTS: Final = RUNNER / "frameworks"
_FILES: Final = "SAGEBIRD_MODEL_FILES"
_UNMISTAKABLE: Final = ("xgboost-model", "MLmodel")  # the model, whatever pickle lies beside it
ONE_THREAD: Final = MappingProxyType({"OMP_NUM_THREADS": "1"})
"""For libraries of native code: workers are the parallelism, and what has threads cannot be forked."""


@dataclass(frozen=True, slots=True)
class Framework:
    """One framework, and how its files become a model.

    `several` of its files are one model, else one must be named `model`. `content_type` is that of calls that
    name none; `default_accept` is what callers get who do not say what they accept. `read` makes a program of
    a file without the framework, which then answers some calls.
    """

    name: str
    script: str
    several: bool = False
    content_type: str | None = None
    default_accept: str | None = None
    read: ReadFile | None = None

    def serves(self, contents: Contents) -> bool:
        """Whether a model of this framework lies there, and no script."""
        if contents.script is not None:
            return False
        if self.name == "XGBoost" and is_xgboost(contents.image):
            return True
        found = files_of(self.name, contents.folder)
        others = set(pickles_in(contents.folder)).difference(found)
        return bool(found) and (not others or any(file.name in _UNMISTAKABLE for file in found))

    def load(self, contents: Contents) -> Model:
        """Have the model's container stand. Raises ModelFault."""
        chosen = self._chosen(contents)
        files = "/".join(file.name for file in chosen)
        environment = {**ONE_THREAD, **contents.environment, _FILES: files}
        program = contained.Program(self.name, self.content_type, self.default_accept)
        script = _SCRIPTS / self.script
        front = None
        if self.read is not None and len(chosen) == 1:
            front = partial(front_of, chosen[0], self.read)
        return contained.load(replace(contents, script=script, environment=environment), program, front)

    def _chosen(self, contents: Contents) -> Sequence[Path]:
        if self.name == "XGBoost" and is_xgboost(contents.image):
            found = all_files(contents.folder)  # as AWS's container has it, whatever lies there
            if not found:
                raise ModelFailure("no model found: the model's folder is empty")
            return found
        found = files_of(self.name, contents.folder)
        if self.several or len(found) == 1 or found[0].stem == "model":
            return found if self.several else found[:1]
        names = ", ".join(file.name for file in found)
        raise ModelFailure(f"several {self.name} files, and none is named model{found[0].suffix}: {names}")


def _row(framework: Framework) -> Runtime:
    return Runtime(framework.name, framework.serves, framework.load, FRAMEWORKS[framework.name], shared=True)


ROWS: Final = tuple(
    map(
        _row,
        (
            Framework("MLflow", "serve_mlflow.py"),
            Framework(
                "XGBoost",
                "serve_xgboost.py",
                several=True,
                content_type="text/libsvm",
                default_accept=CSV,
                read=xgboost_answers.read_booster,
            ),
            Framework("LightGBM", "serve_lightgbm.py", read=lightgbm_files.read_booster),
            Framework("CatBoost", "serve_catboost.py"),
            Framework("ONNX", "serve_onnx.py"),
            Framework("skops", "serve_skops.py"),
            Framework("TorchScript", "serve_torchscript.py"),
        ),
    )
)
