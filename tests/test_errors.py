import inspect
import re

import pytest

from service import errors
from service.errors import (
    ModelFailure,
    ModelFault,
    ModelTimeout,
    PayloadTooLarge,
    SagebirdError,
    UnknownOperation,
    ValidationFault,
)

CLASSES: list[type[SagebirdError]] = [
    found for found in vars(errors).values() if inspect.isclass(found) and issubclass(found, SagebirdError)
]


def test_the_tree_drawn_at_the_top_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    ancestors: list[str] = []
    for prefix, name in re.findall(r"^    ([│ ├└─]*)(\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(prefix) // 4
        del ancestors[depth:]
        drawn[name] = ancestors[-1] if ancestors else "Exception"
        ancestors.append(name)

    assert drawn == {found.__name__: found.__mro__[1].__name__ for found in CLASSES}


@pytest.mark.provenance("documented")
def test_every_error_has_a_code_that_awss_clients_know() -> None:
    assert {found.code for found in CLASSES} == {
        "InternalFailure",
        "ValidationError",
        "ResourceInUse",
        "ResourceNotFound",
        "ResourceLimitExceeded",
        "SerializationException",
        "UnknownOperationException",
        "UnsupportedMediaTypeException",
        "AccessDeniedException",
        "ThrottlingException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "AccessDenied",
        "ResourceNotFoundException",
        "ModelError",
        "ModelNotReadyException",
        "ServiceUnavailable",
    }


def test_an_error_carries_its_message_and_extra_members() -> None:
    error = ValidationFault("no such endpoint", ErrorCode="NO_SUCH_ENDPOINT")

    assert str(error) == error.message == "no such endpoint"
    assert error.members == {"ErrorCode": "NO_SUCH_ENDPOINT"}
    assert UnknownOperation("none").members == {}


def test_the_limit_of_a_body_is_named() -> None:
    assert PayloadTooLarge(6_291_456).message == "HTTP content length exceeded 6291456 bytes."


def test_a_model_fault_has_the_status_of_its_kind_unless_told_otherwise() -> None:
    faults = {found.__name__: found("why").status for found in CLASSES if issubclass(found, ModelFault)}

    assert faults == {
        "ModelFault": 500,
        "BadPayload": 400,
        "UnsupportedContentType": 415,
        "NotAcceptable": 406,
        "ModelNotFound": 404,
        "ModelFailure": 500,
        "ModelTooLarge": 507,
        "HopTooLarge": 413,
        "AnswerTooLarge": 500,
        "ModelDied": 502,
        "ModelUnreachable": 503,
        "ModelTimeout": 0,
    }
    assert ModelFault("taken", status=409).status == 409
    assert ModelFailure("none", status=0).status == 0
    assert ModelTimeout("late").status == 0


def test_one_root_catches_all() -> None:
    assert all(issubclass(found, SagebirdError) for found in CLASSES)
