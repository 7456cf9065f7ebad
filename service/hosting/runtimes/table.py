"""Which runtime serves an artifact: one row each, and the way from a folder to a model through them.

A new runtime is a file beside this one and a row in here. Rows import their files late: the first model pays
for numeric libraries, not the start. Not in here: when a model is loaded and freed (cache).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from service.domain.image import BUILT_IN, framework_of, is_xgboost, needs_engine
from service.errors import ModelFailure
from service.hosting.artifacts.unpacked import Room
from service.hosting.containers.opener import Containers
from service.hosting.host import Model
from service.hosting.runtimes import frameworks
from service.hosting.runtimes.finding import find_file
from service.hosting.runtimes.frameworks import ONE_THREAD
from service.hosting.runtimes.runtime import Contents, Runtime
from service.media.types import PICKLES


def _load_container(contents: Contents) -> Model:
    from service.hosting.runtimes import contained

    return contained.load(contents)


def _load_image(contents: Contents) -> Model:
    from service.hosting.runtimes import imaged

    return imaged.load(contents)


def _load_pickle(contents: Contents) -> Model:
    from service.hosting.runtimes import built_in
    from service.hosting.runtimes.guarded import NeedsOwnCode

    try:
        return built_in.load(contents)
    except NeedsOwnCode:
        return _load_estimator(replace(contents, environment={**ONE_THREAD, **contents.environment}))


def _load_estimator(contents: Contents) -> Model:
    """What is a pickle of another library's, or of the model's own classes."""
    from service.hosting.runtimes import contained, fronted, xgboost_answers, xgboost_files

    file = find_file(contents.folder)
    known = xgboost_files.is_estimator(file)
    front = partial(fronted.front_of, file, xgboost_answers.read_estimator) if known else None
    return contained.load(contents, front=front)


def _has_script(contents: Contents) -> bool:
    return contents.script is not None


def _asks_for_another_environment(contents: Contents) -> bool:
    return contents.lacking() is not None


def _images_run(contents: Contents) -> bool:
    return contents.containers is not None and contents.containers.images is not None


def _is_left(contents: Contents) -> bool:
    """What no other row serves, since this one says what is missing."""
    return True


RUNTIMES: Final = (
    Runtime("image", _images_run, _load_image, runs=needs_engine, shared=True),
    Runtime("container", _has_script, _load_container, shared=True),
    *frameworks.ROWS,
    Runtime("environment", _asks_for_another_environment, _load_container, shared=True),
    Runtime("scikit-learn", _is_left, _load_pickle, PICKLES),
)


@dataclass(frozen=True, slots=True)
class Loading:
    """What every load of this process may use.

    What built-in code loads may take `most_bytes`, 0 for any; it may be compiled if its programs hold at most
    `most_program_bytes`, which then count as its own. What has code of its own runs in `containers`. The
    first of the `runtimes` that serves a model loads it.
    """

    most_bytes: int = 0
    most_program_bytes: int = 0
    containers: Containers | None = None
    runtimes: Sequence[Runtime] = RUNTIMES

    @property
    def most_file_bytes(self) -> int:
        """Bytes in its files beyond which no model can be loaded."""
        return self.most_bytes * (1 if self.containers is None else self.containers.sharers)

    def image_that_counts(self, image: str) -> str:
        """The image that a model is loaded for; "" where it makes no difference which one it is."""
        environments = None if self.containers is None else self.containers.environments
        named = environments is not None and environments.everywhere and framework_of(image) is not None
        return image if image and (named or is_xgboost(image) or needs_engine(image)) else ""


def read_contents(
    model_dir: Path,
    environment: Mapping[str, str],
    loading: Loading,
    code_dir: Path | None = None,
    version: str = "",
    image: str = "",
    place: Path | None = None,
) -> Contents:
    """What lies in a model's folder, by names alone; `version` changes whenever one of its files does.

    The files come from `place`, an archive or the folder itself. Looks for the script first
    (SAGEMAKER_PROGRAM, else inference.py; in `code_dir`, which is code apart from the model, in code/, then
    at the top), then for a model file. Modules of all these places can be imported; a requirements.txt at the
    top of a model is not read, as in AWS's container. Source: contract A.3, A.4. Raises ModelFailure.
    An image of somebody's decides for itself what its files mean.
    """
    containers = loading.containers
    if needs_engine(image):
        own = () if code_dir is None else (code_dir,)
        return Contents(model_dir, environment, version, image, None, own, None, place, containers)
    below = (model_dir / "code", model_dir)
    places = [each for each in (below if code_dir is None else (code_dir, *below)) if each.is_dir()]
    script = _find_script(places, environment)
    code_dirs = tuple(_code_dirs(places, script))
    return Contents(
        model_dir,
        environment,
        version,
        image or BUILT_IN,
        script,
        code_dirs,
        _find_requirements(model_dir, code_dir),
        place,
        containers,
        Room(loading.most_bytes, frozenset(name for place in code_dirs for name in _modules(place))),
        loading.most_program_bytes,
    )


NOTHING_MORE: Final = Loading()


def load_model(
    model_dir: Path,
    environment: Mapping[str, str],
    loading: Loading = NOTHING_MORE,
    code_dir: Path | None = None,
    version: str = "",
    image: str = "",
    place: Path | None = None,
) -> Model:
    """Load the folder's model. Blocking; any number of threads may load at once. Raises ModelFault."""
    contents = read_contents(model_dir, environment, loading, code_dir, version, image, place)
    return choose_runtime(contents, loading.runtimes).load(contents)


def _find_requirements(model_dir: Path, code_dir: Path | None) -> Path | None:
    folders = [model_dir / "code"] if code_dir is None else [code_dir, model_dir / "code"]
    return next((each for folder in folders if (each := folder / "requirements.txt").is_file()), None)


def _code_dirs(places: Sequence[Path], script: Path | None) -> Iterator[Path]:
    """Where a model's own modules lie, in the order in which they are looked for."""
    if script is not None and script.parent not in places:
        yield script.parent
    yield from (place for place in places if any(_modules(place)))


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
    names = (name, name.with_name(f"{name.name}.py")) if name.suffix != ".py" else (name,)
    for place in places:
        for each in names:
            if (place / each).is_file():
                return place / each
    if named:
        raise ModelFailure(
            f"SAGEMAKER_PROGRAM names {named}, which is neither in code/ nor at the top of the model"
        )
    return None


def _modules(folder: Path) -> Iterator[str]:
    """Names of the Python files and packages at the top of a folder."""
    yield from (file.stem for file in folder.glob("*.py"))
    yield from (file.parent.name for file in folder.glob("*/__init__.py"))
