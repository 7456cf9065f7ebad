"""How a folder comes to answer: which script or flavour serves it, and the thin joins to them.

Not in here: when a model is loaded and freed (cache), how many calls it takes at once (replica).
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from service.errors import ModelFailure, NotAcceptable
from service.hosting.artifacts.requirements import check_requirements
from service.hosting.artifacts.unpacked import Room
from service.hosting.footprint import measure
from service.hosting.host import Answer, Call
from service.hosting.programs.compiled import Compiling, Joined
from service.hosting.runtimes.handler import (
    CLOSED_SESSION,
    CUSTOM_ATTRIBUTES,
    NEW_SESSION,
    Context,
    Handler,
    UserFunction,
    read_functions,
)
from service.hosting.runtimes.predictor import Predictor
from service.hosting.runtimes.user_code import UserCode, code_fault, holds_modules
from service.media.codec import choose_accept, decode, encode
from service.media.tables import PLAIN, Headers, quoted
from service.media.types import JSON

if TYPE_CHECKING:
    from service.hosting.runtimes import sklearn

_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]")


class FlavourModel:
    """A model that built-in code serves; `predictor` is for those who serve it in a faster way."""

    def __init__(
        self, predictor: Predictor, size_bytes: int, default_accept: str, code: UserCode | None
    ) -> None:
        self.predictor = predictor
        self.size_bytes = size_bytes
        self.compiling = Compiling(None)
        self.default_accept = default_accept
        self.in_place = (
            code is None or not code.imported
        )  # else it may hold objects of the model's own classes
        self._code = code  # keeps the modules alive that these classes come from

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know about it, each with its fix."""
        return self.predictor.warnings

    @property
    def description(self) -> str:
        """What it is, for people."""
        return self.compiling.describe(self.predictor.description)

    @property
    def headers(self) -> Headers:
        """What it makes of a header line of CSV."""
        return Headers.KNOWN

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names by which built-in code knows a header line, if it does."""
        return self.predictor.columns

    def joined(self, accept: str | None) -> Joined | None:
        """How calls that accept this may be joined, so that each gets what it would get alone; None: not."""
        if not self.in_place or not self.predictor.takes.numbers:
            return None
        try:
            return self.predictor.joined(choose_accept(accept, default=self.default_accept))
        except NotAcceptable:  # that is for the call itself to say
            return None

    def answers_by_row(self, accept: str | None) -> bool:
        """Whether records may be put into requests in any way. Takes a moment. Raises NotAcceptable."""
        chosen = choose_accept(accept, default=self.default_accept)
        return self.in_place and self.predictor.answers_by_row(chosen)

    def answer(self, call: Call) -> Answer:
        """Decode, predict, encode. Raises ModelFault."""
        accept = choose_accept(call.accept, default=self.default_accept)
        prediction = self.predictor.predict(
            decode(call.body, call.content_type, self.predictor.takes), accept
        )
        return Answer(encode(prediction, accept.media_type), accept.media_type)


class HandlerModel:
    """A model that a script serves, as far as the script wants to."""

    in_place = False

    def __init__(
        self,
        handler: Handler,
        code: UserCode,
        model_dir: Path,
        environment: Mapping[str, str],
        description: str,
        size_bytes: int,
        warnings: tuple[str, ...],
        columns: tuple[str, ...] | None,
    ) -> None:
        self.size_bytes = size_bytes
        self.headers = handler.headers
        self.columns = columns if handler.headers is Headers.KNOWN else None
        self.warnings = warnings
        self.compiling = Compiling(None)
        self._description = description
        self._handler = handler
        self._code = code  # keeps the script's modules alive
        self._model_dir = model_dir
        self._environment = environment

    @property
    def description(self) -> str:
        """What it is, for people."""
        return self.compiling.describe(self._description)

    @property
    def loaded(self) -> object:
        """What the script's model_fn, or built-in code in its place, has loaded."""
        return self._handler.model

    def answer(self, call: Call) -> Answer:
        """Let the script's functions answer. Raises ModelFault."""
        context = Context(self._model_dir, self._environment, _headers(call))
        try:
            body, content_type = self._handler.respond(context, call.body, call.content_type, call.accept)
        except BaseException as error:  # edge: what handlers return may run the model's own code as well
            raise code_fault(error) from error
        answer = Answer(
            body,
            content_type,
            context.custom_attributes,
            context.response_status,
            context.response_headers.get(NEW_SESSION.lower()),
            context.response_headers.get(CLOSED_SESSION.lower()),
        )
        _check_sendable(answer)
        return answer


def _check_sendable(answer: Answer) -> None:
    """Raises ModelFailure for what HTTP cannot carry; it is the model that answers so, not the caller."""
    for name, value in (
        ("Content-Type", answer.content_type),
        (CUSTOM_ATTRIBUTES, answer.custom_attributes),
        (NEW_SESSION, answer.new_session_id),
        (CLOSED_SESSION, answer.closed_session_id),
    ):
        if value is not None and _UNSENDABLE.search(value):
            raise ModelFailure(
                f"The model answers with the {name} {quoted(value)}, which no header can hold: it has a line "
                "break, another control character, or a letter that is not in ISO-8859-1."
            )
    status = answer.status
    if type(status) is not int or not 200 <= status <= 599:
        raise ModelFailure(f"The model answers with the status {status!r}: it must be from 200 to 599.")


def load_model(
    model_dir: Path,
    environment: Mapping[str, str],
    most_program_bytes: int = 0,
    code_dir: Path | None = None,
    most_bytes: int = 0,
) -> FlavourModel | HandlerModel:
    """Load the folder's model. Blocking; any number of threads may load at once. Raises ModelFault.

    It may be compiled if its programs hold at most `most_program_bytes`, which then count as its own. What
    built-in code loads may take `most_bytes`, 0 for any.

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
        if code is not None and script is not None:
            module = code.run(script)
            functions = read_functions(module)
            if functions:
                return _load_handler(
                    model_dir, environment, code, script, functions, most_program_bytes, room
                )
        from service.hosting.runtimes import sklearn  # heavy, see below

        predictor = sklearn.load(model_dir, environment, room)
        size_bytes = measure(predictor.estimator, model_dir)
    model = FlavourModel(predictor, size_bytes, _default_accept(environment), code)
    model.compiling = Compiling.of(predictor, environment, most_program_bytes)
    model.size_bytes += model.compiling.program_bytes
    return model


def _load_handler(
    model_dir: Path,
    environment: Mapping[str, str],
    code: UserCode,
    script: Path,
    functions: Mapping[str, UserFunction],
    most_program_bytes: int,
    room: Room,
) -> HandlerModel:
    from service.hosting.runtimes import (
        drift,
        finding,
        sklearn,
    )  # heavy: the first model pays, not the server's start

    context = Context(model_dir, environment)
    with drift.listen() as versions:
        if "pre_model_fn" in functions:
            functions["pre_model_fn"](context, str(model_dir))
        if "model_fn" in functions:
            model = functions["model_fn"](context, str(model_dir))
        else:
            model = sklearn.load_file(finding.find_file(model_dir), versions, room)
        if "model_warmup_fn" in functions:
            functions["model_warmup_fn"](context, str(model_dir), model)
    warnings = drift.drift_sentences(versions)
    predictor = _default_predictor(functions, model, environment, warnings)
    predict = None if predictor is None else predictor.predict
    loaded = HandlerModel(
        Handler(
            functions,
            model,
            predict,
            _default_accept(environment),
            PLAIN if predictor is None else predictor.takes,
        ),
        code=code,
        model_dir=model_dir,
        environment=environment,
        description=f"{script.name}: {', '.join(functions)}",
        size_bytes=measure(model, model_dir),
        warnings=warnings,
        columns=None if predictor is None else predictor.columns,
    )
    loaded.compiling = Compiling.of(predictor, environment, most_program_bytes)
    loaded.size_bytes += loaded.compiling.program_bytes
    return loaded


def _default_predictor(
    functions: Mapping[str, UserFunction],
    model: object,
    environment: Mapping[str, str],
    warnings: tuple[str, ...],
) -> "sklearn.SklearnModel | None":
    from service.hosting.runtimes import sklearn

    if functions.keys() & {"predict_fn", "transform_fn"}:
        return None
    return sklearn.SklearnModel(model, sklearn.read_output(environment), warnings)


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


def _default_accept(environment: Mapping[str, str]) -> str:
    return environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)


def _headers(call: Call) -> dict[str, str]:
    headers = {
        "Content-Type": JSON if call.content_type is None else call.content_type,
        "Accept": call.accept,
        CUSTOM_ATTRIBUTES: call.custom_attributes,
        "X-Amzn-SageMaker-Target-Model": call.target_model,
        "X-Amzn-SageMaker-Session-Id": call.session_id,
    }
    return {name: value for name, value in headers.items() if value is not None}
