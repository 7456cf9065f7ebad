"""Models that a script serves: inference.py and what it leaves out.

Not in here: the contract of its functions (handler), where they come from (user_code).
"""

import re

from service.errors import ModelFailure
from service.hosting.footprint import measure
from service.hosting.host import Answer, Call, Interface, Traits
from service.hosting.programs.compiled import Compiling
from service.hosting.runtimes import drift, finding, sklearn
from service.hosting.runtimes.handler import (
    CLOSED_SESSION,
    CUSTOM_ATTRIBUTES,
    NEW_SESSION,
    Context,
    Handler,
)
from service.hosting.runtimes.interface import read_interface
from service.hosting.runtimes.pickled import load_file
from service.hosting.runtimes.runtime import Contents
from service.hosting.runtimes.user_code import code_fault
from service.media.tables import PLAIN, HeaderUse, quoted
from service.media.types import JSON

_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]")


class HandlerModel:
    """A model that a script serves, as far as the script wants to."""

    def __init__(
        self,
        contents: Contents,
        model: object,
        predictor: sklearn.SklearnModel | None,
        warnings: tuple[str, ...],
    ) -> None:
        """`predictor` is what predicts where the script does not."""
        self._contents = contents  # keeps the script's modules alive
        self._handler = Handler(
            contents.functions,
            model,
            None if predictor is None else predictor.predict,
            contents.default_accept,
            PLAIN if predictor is None else predictor.takes,
        )
        headers = self._handler.headers
        knows = predictor is not None and headers is HeaderUse.KNOWN
        compiling = Compiling.of(predictor, contents.environment, contents.most_program_bytes)
        self.traits = Traits(
            f"{'' if contents.script is None else contents.script.name}: {', '.join(contents.functions)}",
            measure(model, contents.folder) + compiling.program_bytes,
            scripted=True,
            warnings=warnings,
            default_accept=contents.default_accept,
            headers=headers,
            columns=predictor.columns if predictor is not None and knows else None,
            compiling=compiling,
        )

    def answer(self, call: Call) -> Answer:
        """Let the script's functions answer. Raises ModelFault."""
        context = Context(self._contents.folder, self._contents.environment, _headers(call))
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

    def interface(self) -> Interface:
        """What the object takes and gives that was loaded, as far as it is an estimator."""
        return read_interface(self._handler.model, scripted=True)


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


def load(contents: Contents) -> HandlerModel:
    """Let the script load its model, or load it as built-in code would. Raises ModelFault."""
    folder, functions = contents.folder, contents.functions
    context = Context(folder, contents.environment)
    with drift.listen() as versions:
        if "pre_model_fn" in functions:
            functions["pre_model_fn"](context, str(folder))
        if "model_fn" in functions:
            model = functions["model_fn"](context, str(folder))
        else:
            model = load_file(finding.find_file(folder), versions, contents.room)
        if "model_warmup_fn" in functions:
            functions["model_warmup_fn"](context, str(folder), model)
    warnings = drift.drift_sentences(versions)
    predictor = _default_predictor(contents, model, warnings)
    return HandlerModel(contents, model, predictor, warnings)


def _default_predictor(
    contents: Contents, model: object, warnings: tuple[str, ...]
) -> sklearn.SklearnModel | None:
    if contents.functions.keys() & {"predict_fn", "transform_fn"}:
        return None
    return sklearn.SklearnModel(model, sklearn.read_output(contents.environment), warnings)


def _headers(call: Call) -> dict[str, str]:
    headers = {
        "Content-Type": JSON if call.content_type is None else call.content_type,
        "Accept": call.accept,
        CUSTOM_ATTRIBUTES: call.custom_attributes,
        "X-Amzn-SageMaker-Target-Model": call.target_model,
        "X-Amzn-SageMaker-Session-Id": call.session_id,
    }
    return {name: value for name, value in headers.items() if value is not None}
