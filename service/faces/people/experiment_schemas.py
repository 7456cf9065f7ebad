"""What the OpenAPI document says of experiments: outcomes, their receipts, what variants are worth, plans.

`docs/reference/experiments.md` says what each member means.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.media.types import JSON

_Schema = dict[str, Any]

_TEXT: Final[_Schema] = {"type": "string"}
_WHOLE: Final[_Schema] = {"type": "integer"}
_NUMBER: Final[_Schema] = {"type": "number"}
_TRUTH: Final[_Schema] = {"type": "boolean"}
_MOMENT: Final[_Schema] = {"type": "string", "format": "date-time"}
_WEIGHTS: Final[_Schema] = {"type": "object", "additionalProperties": _NUMBER}
_COUNTS: Final[_Schema] = {"type": "object", "additionalProperties": _WHOLE}


def _told(schema: _Schema, description: str) -> _Schema:
    return {**schema, "description": description}


def _list(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}


def component(name: str) -> _Schema:
    """A reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: _Schema) -> _Schema:
    if isinstance(schema.get("type"), str) and "properties" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _object(members: Mapping[str, _Schema], optional: Sequence[str] = ()) -> _Schema:
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": dict(members), "required": required}


def _same(names: Sequence[str], schema: _Schema) -> dict[str, _Schema]:
    return dict.fromkeys(names, schema)


_MAYBE: Final = _or_null(_NUMBER)
_BOUNDS: Final = _same(("lower", "upper"), _MAYBE)
_STATES: Final[_Schema] = {"type": "string", "enum": ["running", "done", "stopped"]}
_SCORES: Final = _same(("precision", "recall", "f1"), _NUMBER)
_HITS: Final = ("true_positives", "false_positives", "false_negatives", "true_negatives")
_TALLIED: Final = ("counted", "waiting", "unknown", "repeated", "contradicting", "refused", "dropped")
_ERRORS_OF_NUMBERS: Final = ("mean_absolute_error", "root_mean_squared_error", "r2", "mean_error")
_QUALITY: Final[_Schema] = {
    "anyOf": [component("ClassQuality"), component("NumberQuality"), {"type": "null"}]
}

_REPORTED: Final = {
    "Outcome": {
        "type": "object",
        "properties": {
            "inference_id": _told(_TEXT, "What the answer says in X-Amzn-SageMaker-Inference-Id"),
            "at": {"type": ["string", "number"], "description": "When, in ISO 8601 or seconds since 1970"},
            "label": {
                "type": ["string", "number", "boolean"],
                "description": "What would have been right: held against the prediction",
            },
        },
        "required": ["inference_id"],
        "additionalProperties": {"description": "Any other outcome: a number, true or false"},
    },
    "Receipt": _object(
        {
            "counted": _told(_WHOLE, "Outcomes that met their prediction"),
            "waiting": _told(_WHOLE, "Those whose prediction is not known yet, as right after it"),
            "repeated": _told(_WHOLE, "Those that were reported before"),
            "contradicting": _told(_WHOLE, "Those of which something else was said first, which counts"),
        }
    ),
    "EndpointError": _object({"message": _told(_TEXT, "What is wrong, in a sentence")}),
}
_JUDGED: Final = {
    "OutcomeInterval": _object({"count": _WHOLE, "mean": _MAYBE, **_BOUNDS}),
    "Comparison": _object(
        {
            "challenger": _TEXT,
            "difference": _told(_MAYBE, "How much more the challenger has than the control"),
            **_BOUNDS,
            "p_value": _NUMBER,
            "decision": {"type": "string", "enum": ["better", "worse", "same", "open"]},
            "more": _told(_WHOLE, "Outcomes that it probably takes"),
            "sentence": _TEXT,
        }
    ),
    "Verdict": _object(
        {
            "control": _TEXT,
            "binary": _told(_TRUTH, "Outcomes are 0 or 1"),
            "more_is_better": _TRUTH,
            "alpha": _NUMBER,
            "worth": _told(_NUMBER, "The smallest difference that matters"),
            "variants": _list(_object({"name": _TEXT, "count": _WHOLE, "mean": _MAYBE, **_BOUNDS})),
            "comparisons": _list(component("Comparison")),
        }
    ),
    "Mark": _object(
        {
            "at": _MOMENT,
            "outcomes": _WHOLE,
            "comparisons": _list(_object({"challenger": _TEXT, "difference": _MAYBE, **_BOUNDS})),
        }
    ),
    "ClassQuality": _object(
        {
            "count": _WHOLE,
            "accuracy": _MAYBE,
            "positive": _or_null(_TEXT),
            "classes": {
                "type": "object",
                "additionalProperties": _object({**_same(_HITS, _WHOLE), **_SCORES}),
            },
            "macro": _object(_SCORES),
            "confusion": _list(_object({"label": _TEXT, "predicted": _TEXT, "count": _WHOLE})),
            "roc_auc": _MAYBE,
            "log_loss": _MAYBE,
            "calibration": _list(
                _object(
                    {"from": _NUMBER, "to": _NUMBER, "count": _WHOLE}
                    | _same(("mean_score", "share"), _NUMBER)
                )
            ),
            "calibration_error": _MAYBE,
        }
    ),
    "NumberQuality": _object({"count": _WHOLE, **_same(_ERRORS_OF_NUMBERS, _MAYBE)}),
}
_PLANNED: Final = {
    "Ramp": _object(
        {
            "variant": _TEXT,
            "steps": _told(_list(_NUMBER), "Percents, one after the other"),
            "pause_s": _NUMBER,
            "next_at": _MOMENT,
            "step": _told(_WHOLE, "The one that is taken, from 0"),
            "state": _STATES,
            "why": _told(_TEXT, "Why it was stopped"),
            "outcome": _or_null(_TEXT),
            "less": _TRUTH,
            "holds": _told(_TRUTH, "The first step is what the variant had already"),
            "reason": _TEXT,
            "by": _told(_TEXT, "Who began it"),
        }
    ),
    "Allocation": _object(
        {
            "policy": _TEXT,
            "outcome": _or_null(_TEXT),
            "less": _TRUTH,
            "floor": _told(_NUMBER, "Percent that every variant keeps"),
            "pause_s": _NUMBER,
            "weights": _WEIGHTS,
            "next_at": _MOMENT,
            "changes": _WHOLE,
            "state": {"type": "string", "enum": ["running", "stopped"]},
            "why": _told(_TEXT, "Why it was stopped"),
            "reason": _TEXT,
            "by": _told(_TEXT, "Who began it"),
        }
    ),
    "AskedBoth": _object({"endpoint": _TEXT, "ask_both": _told(_NUMBER, "Percents of calls")}),
}
_PLANS: Final = {"ramp": _or_null(component("Ramp")), "allocation": _or_null(component("Allocation"))}
_PROMOTED: Final = _object(
    {
        "endpoint": _TEXT,
        **_PLANS,
        "skipped": _told(_list(_NUMBER), "Steps of a ramp that would have taken traffic away"),
        "stopped": _told(_TRUTH, "Whether anything was under way that was to be stopped"),
        "note": _told(_TEXT, "What people should know of it, in a sentence"),
    },
    optional=("skipped", "stopped", "note"),
)
_EXPERIMENT_VARIANT: Final = _object(
    {
        "name": _TEXT,
        "weight": _NUMBER,
        "share": _told(_NUMBER, "Of traffic, from 0 to 1"),
        **_same(("requests", "client_errors", "server_errors"), _WHOLE),
        "latency": _object(_same(("p50_ms", "p90_ms", "p99_ms"), _MAYBE)),
        "calls": _told(_WHOLE, "Recorded ones without a user"),
        "users": _WHOLE,
        "outcome": _or_null(component("OutcomeInterval")),
        "quality": _QUALITY,
        "warnings": _list(_TEXT),
    }
)
_AGREEMENT_PAIR: Final = _object(
    {
        **_same(("control", "variant"), _TEXT),
        **_same(("rows", "differing"), _WHOLE),
        "share": _MAYBE,
        **_BOUNDS,
        "pairs": _list(_object({"control": _TEXT, "challenger": _TEXT, "rows": _WHOLE})),
        **_same(("mean_distance", "largest_distance"), _MAYBE),
        **_same(("failed", "unclear"), _WHOLE),
        "examples": _list(
            _object(
                {
                    "at": _MOMENT,
                    "inference_id": _or_null(_TEXT),
                    "row": _WHOLE,
                    **_same(("control", "challenger"), _TEXT),
                }
            )
        ),
    }
)
_WINDOW: Final = _object(
    {
        "last": {"type": "string", "enum": ["hour", "day", "week"]},
        "since": _MOMENT,
        "labels": _WHOLE,
        "whole": _TRUTH,
        "quality": {"type": "object", "additionalProperties": _QUALITY},
    }
)
_EXPERIMENT: Final = _object(
    {
        **_same(("endpoint", "status"), _TEXT),
        "generation": _or_null(_WHOLE),
        "since": _or_null(_MOMENT),
        "control": _or_null(_TEXT),
        "outcome": _told(_or_null(_TEXT), "The one that is compared"),
        "outcomes": _told(_COUNTS, "How many there are by name"),
        "variants": _list(component("ExperimentVariant")),
        "verdict": _or_null(component("Verdict")),
        "sentence": _told(_TEXT, "What follows, for people"),
        "warnings": _list(_TEXT),
        "share_p_value": _MAYBE,
        "better": _told(_or_null(_TEXT), "The variant that should have all traffic, where that is sure"),
        "tallies": _object(_same(_TALLIED, _WHOLE)),
        "window": _or_null(component("ExperimentWindow")),
        "changes": _list(_object({"at": _MOMENT, "weights": _WEIGHTS, "reason": _TEXT, "by": _TEXT})),
        "timeline": _list(component("Mark")),
        **_PLANS,
        "agreement": _or_null(
            _object({"ask_both": _NUMBER, "dropped": _WHOLE, "pairs": _list(component("AgreementPair"))})
        ),
    }
)

EXPERIMENT_SCHEMAS: Final[Mapping[str, _Schema]] = {
    **_REPORTED,
    **_JUDGED,
    **_PLANNED,
    "Promoted": _PROMOTED,
    "ExperimentVariant": _EXPERIMENT_VARIANT,
    "AgreementPair": _AGREEMENT_PAIR,
    "ExperimentWindow": _WINDOW,
    "Experiment": _EXPERIMENT,
}
"""The schemas by name, as the document's components have them."""

REPORT_BODY: Final[Mapping[str, Any]] = {
    "required": True,
    "content": {
        JSON: {"schema": {"oneOf": [component("Outcome"), _list(component("Outcome"))]}},
        "application/jsonlines": {"schema": _TEXT},
        "text/csv": {"schema": _TEXT},
    },
}
"""What reports of outcomes are written in."""

# What the front door says is spelt as AWS does, whatever is asked; what experiments say is not.
_DOOR: Final = {
    401: "Keys are asked for, and there is none, or no good one",
    403: "A key that does not allow this, a host or a web page that may not ask",
    429: "More requests than the key may send: Retry-After says for how many seconds to wait",
}
_OWN: Final = {
    400: "The request does not say what it should, or asks for what cannot be done",
    404: "There is no such endpoint",
    503: "It cannot be answered now: Retry-After says for how many seconds to wait",
}
_WAIT: Final = {"Retry-After": {"description": "Seconds", "schema": _TEXT}}
_REQUEST_ID: Final = {"x-amzn-RequestId": {"description": "By which the log is found", "schema": _TEXT}}


def answers(schema: _Schema, meaning: str, own: Sequence[int] = tuple(_OWN)) -> dict[str, Any]:
    """The answers of an operation: a good one of a schema, and errors, `own` ones and the front door's."""
    errors = {status: (text, component("EndpointError")) for status, text in _OWN.items() if status in own}
    errors |= {status: (text, component("Error")) for status, text in _DOOR.items()}
    return {
        "200": _response(meaning, schema),
        **{str(status): _response(*errors[status], waits=status in (429, 503)) for status in sorted(errors)},
    }


def _response(meaning: str, schema: _Schema, *, waits: bool = False) -> dict[str, Any]:
    headers = {**_REQUEST_ID, **_WAIT} if waits else _REQUEST_ID
    return {"description": meaning, "headers": headers, "content": {JSON: {"schema": schema}}}
