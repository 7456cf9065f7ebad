"""Which runtime serves an artifact: one row each, and the way from a folder to a model through them.

A new runtime is a file beside this one and a row in here. Rows import their files late: the first model pays
for numeric libraries, not the start. Not in here: when a model is loaded and freed (cache).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Final

from service.domain.image import BUILT_IN
from service.errors import ModelFailure
from service.hosting.artifacts.requirements import check_requirements
from service.hosting.artifacts.unpacked import Room
from service.hosting.footprint import measure
from service.hosting.host import Model
from service.hosting.programs.compiled import Compiling
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.handler import read_functions
from service.hosting.runtimes.runtime import Contents, Runtime
from service.hosting.runtimes.user_code import UserCode, holds_modules
from service.media.types import PICKLES


def _load_script(contents: Contents) -> Model:
    from service.hosting.runtimes import script

    return script.load(contents)


def _load_pickle(contents: Contents) -> Model:
    from service.hosting.runtimes import sklearn

    predictor = sklearn.load(contents.folder, contents.environment, contents.room)
    size_bytes = measure(predictor.estimator, contents.folder)
    compiling = Compiling.of(predictor, contents.environment, contents.most_program_bytes)
    return FlavourModel(predictor, size_bytes, contents.default_accept, contents.code, compiling)


def _is_scripted(contents: Contents) -> bool:
    return bool(contents.functions)


def _is_left(contents: Contents) -> bool:
    """What no other row serves, since this one says what is missing."""
    return True


RUNTIMES: Final = (
    Runtime("script", _is_scripted, _load_script),
    Runtime("scikit-learn", _is_left, _load_pickle, PICKLES),
)


def load_model(
    model_dir: Path,
    environment: Mapping[str, str],
    most_program_bytes: int = 0,
    code_dir: Path | None = None,
    most_bytes: int = 0,
    *,
    image: str = BUILT_IN,
    runtimes: Sequence[Runtime] = RUNTIMES,
) -> Model:
    """Load the folder's model. Blocking; any number of threads may load at once. Raises ModelFault.

    It may be compiled if its programs hold at most `most_program_bytes`, which then count as its own. What
    built-in code loads may take `most_bytes`, 0 for any. The first of the `runtimes` that serves it loads it.

    Looks for the script first (SAGEMAKER_PROGRAM, else inference.py; in `code_dir`, which is code apart from
    the model, in code/, then at the top), then for a model file.
    Modules of all these places can be imported. Source: contract A.3, A.4.
    """
    places = [model_dir / "code", model_dir]
    if code_dir is not None:
        places.insert(0, code_dir)
    for place in places:
        if (place / "requirements.txt").is_file():
            check_requirements(place / "requirements.txt")
            break
    script = _find_script(places, environment)
    code = _user_code(places if holds_modules(model_dir) else places[:-1], script)
    room = Room(most_bytes, tuple(place for place in places if place.is_dir()))
    with nullcontext() if code is None else code.importable():
        functions = {} if code is None or script is None else read_functions(code.run(script))
        contents = Contents(model_dir, environment, image, code, script, functions, room, most_program_bytes)
        return choose_runtime(contents, runtimes).load(contents)


def choose_runtime(contents: Contents, runtimes: Iterable[Runtime]) -> Runtime:
    """The first runtime that stands in for the image and serves these contents. Raises ModelFailure."""
    for runtime in runtimes:
        if runtime.runs(contents.image) and runtime.serves(contents):
            return runtime
    raise ModelFailure(f"no runtime of this server serves the image {contents.image} with these files")


def endings_of(runtimes: Iterable[Runtime]) -> tuple[str, ...]:
    """The endings of all model files that these runtimes load."""
    return tuple(dict.fromkeys(ending for runtime in runtimes for ending in runtime.endings))


def _find_script(places: Sequence[Path], environment: Mapping[str, str]) -> Path | None:
    named = environment.get(
        "SAGEMAKER_PROGRAM", ""
    )  # the SDK sends an empty name for a model without a script
    name = PurePosixPath(named if named else "inference.py")
    if name.is_absolute() or ".." in name.parts:
        raise ModelFailure(f"SAGEMAKER_PROGRAM must name a script of the model, not {named!r}")
    for place in places:
        if (place / name).is_file():
            return place / name
    if named:
        raise ModelFailure(
            f"SAGEMAKER_PROGRAM names {named}, which is neither in code/ nor at the top of the model"
        )
    return None


def _user_code(folders: Sequence[Path], script: Path | None) -> UserCode | None:
    places = [] if script is None else [script.parent]
    places += [folder for folder in folders if folder.is_dir() and folder not in places]
    return UserCode(places) if places else None
