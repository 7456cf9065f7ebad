"""Every exception sagebird raises on purpose.

    SagebirdError
    ├── CallerError                 the caller can mend the request
    │   ├── ValidationFault         ValidationError (runtime) / ValidationException (control plane)
    │   ├── PayloadTooLarge         the body is over the limit
    │   ├── ResourceInUse           a resource of that name exists, or is busy
    │   ├── ResourceNotFound        no resource of that name
    │   ├── ResourceLimitExceeded   a quota is reached
    │   ├── SerializationFault      the body is not JSON, or a member is of the wrong type
    │   ├── UnknownOperation        no such operation, or one that is not served yet
    │   ├── AccessDenied            a host or a web page that may not ask this
    │   │   └── NotAllowed          a key that is good, but not for this
    │   ├── NotAuthenticated        nobody knows who asks, where keys are asked for
    │   │   ├── CredentialsMissing  no key and no signature
    │   │   ├── CredentialsUnknown  no such key, or one that was revoked
    │   │   ├── CredentialsExpired  a key whose time is over
    │   │   ├── SignatureIncomplete a signature that cannot be read, or more than one
    │   │   └── SignatureWrong      a signature of something else, by another secret, or of another time
    │   ├── Throttled               more requests than a rate allows; says when the next one may come
    │   ├── NotPermitted            a call of IAM or STS that is not served
    │   ├── NothingThere            what a call of another service is about is not here
    │   ├── ServiceFault            what clients of a neighbour are told, by one of its own codes
    │   │   └── BucketFault         the same of S3
    │   └── UnsupportedEncoding     the body is compressed in a way that is not read
    ├── ModelFault                  what a container answers instead of a prediction; carries its status
    │   ├── BadPayload              400: the body is not what its Content-Type says, or the model refuses it
    │   ├── UnsupportedContentType  415
    │   ├── NotAcceptable           406
    │   ├── ModelNotFound           404: no such model below its folder, or not registered
    │   ├── ModelFailure            500: the model's own code failed, while loading or while predicting
    │   ├── HopTooLarge             413: too much of one container of a pipeline for the next one
    │   ├── AnswerTooLarge          500: a container answers more than is taken
    │   ├── ModelTooLarge           507: the model does not fit the memory it may use
    │   ├── ModelDied               502: the process that was at the call ended before it had answered
    │   ├── ModelUnreachable        503: a model's container does not answer at its address, or is not healthy
    │   └── ModelTimeout            0: no answer in time (the status AWS reports)
    ├── ModelError                  a ModelFault as the runtime API words it (AWS code ModelError)
    ├── ModelNotReady               a multi-model endpoint is still loading the target model
    ├── ObjectFault                 an object cannot be listed, read or written; says whether it was a write
    │   ├── ObjectUnreadable        it is not there, or cannot be read; says why
    │   └── ObjectChanged           another one has its key than the one to be replaced
    ├── EngineFault                 the container engine refuses, or cannot be asked; its status, 0 for none
    ├── LeaseLost                   another worker has taken over what this one was at
    ├── NotInstalled                packages cannot be installed, or not with this interpreter
    ├── NotCompilable               there is no program for a model, or not for one of its making
    ├── RecordError                 a stream is not made of such records as it should be
    ├── PathError                   a JSONPath is not of the subset, or finds nothing
    ├── ClientGone                  the client left before its request was whole
    ├── Unavailable                 too busy or stopping; the same request may work later
    ├── StateDamaged                what the database holds cannot be read
    ├── LoadRefused                 a load test cannot be carried out as it was asked for
    ├── UnclearAnswer               nobody can tell what an answer predicts for which row
    └── StartupError                this process can never start as it was asked to: exit code 3, one sentence
        └── StateUnreadable         because what the database holds cannot be read
No HTTP in here: a status on a ModelFault is the container's own, reported by AWS as OriginalStatusCode.
"""

from collections.abc import Mapping
from typing import Any, Final

REQUEST_ID: Final = "{request id}"  # in a message: the id of the request, which only the edge knows


class SagebirdError(Exception):
    """Root of the tree: `code` is the AWS error code, `members` the extra members of its AWS error shape."""

    code: str = "InternalFailure"

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__(message)
        self.message = message
        self.members: Mapping[str, Any] = members


class CallerError(SagebirdError):
    """The caller can mend the request."""

    code = "ValidationError"


class ValidationFault(CallerError):
    """The request breaks a rule; `ErrorCode=` names the rule where AWS does (e.g. NO_SUCH_ENDPOINT)."""


class PayloadTooLarge(CallerError):
    """The body is over the limit; nothing of it was kept."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"HTTP content length exceeded {limit_bytes} bytes.")


class ResourceInUse(CallerError):
    """A resource of that name exists already, or is in use. Most operations say so in a ValidationFault."""

    code = "ResourceInUse"


class ResourceNotFound(CallerError):
    """There is no resource of that name. Most operations say so in a ValidationFault (contract C.7)."""

    code = "ResourceNotFound"


class ResourceLimitExceeded(CallerError):
    """The account has as many of these as its quota allows."""

    code = "ResourceLimitExceeded"


class SerializationFault(CallerError):
    """The body or a header is not what the model says, so there is nothing to check constraints on."""

    code = "SerializationException"


class UnknownOperation(CallerError):
    """No such operation, or a modelled one that is not served yet."""

    code = "UnknownOperationException"


class AccessDenied(CallerError):
    """This host is not served, or a web page may not ask this; the message names the setting for it."""

    code = "AccessDeniedException"


class NotAllowed(AccessDenied):
    """The key is good, but not for this."""


class NotAuthenticated(CallerError):
    """Nobody knows who asks, and keys are asked for. Whoever has `signed` is one of AWS's clients."""

    code = "MissingAuthenticationTokenException"
    signed = False

    def __init__(self, message: str, *, signed: bool | None = None) -> None:
        super().__init__(message)
        self.signed = self.signed if signed is None else signed


class CredentialsMissing(NotAuthenticated):
    """The request brings neither a key nor a signature."""


class CredentialsUnknown(NotAuthenticated):
    """There is no such key, or it was revoked."""

    code = "UnrecognizedClientException"


class CredentialsExpired(NotAuthenticated):
    """The key's time is over."""

    code = "ExpiredTokenException"


class SignatureIncomplete(NotAuthenticated):
    """The signature lacks a part, or there is more than one, so that there is nothing to verify."""

    code = "IncompleteSignatureException"
    signed = True


class SignatureWrong(NotAuthenticated):
    """The signature is not the one of this request, at this time, by this key."""

    code = "InvalidSignatureException"


class Throttled(CallerError):
    """More requests came than a rate allows; the next one may come in `wait_s` seconds."""

    code = "ThrottlingException"

    def __init__(self, message: str, wait_s: float = 1.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class NotPermitted(CallerError):
    """A call of IAM or STS that is not served, or not for a session, as their clients go on after it."""

    code = "AccessDenied"


class NothingThere(CallerError):
    """What a call is about is not here, in the words of a service that is not served."""

    code = "ResourceNotFoundException"


class ServiceFault(CallerError):
    """What a client of a neighbour is told: `code` is the service's own, `members` are beside the message."""

    def __init__(self, code: str, message: str, **members: str) -> None:
        super().__init__(message, **members)
        self.code = code


class BucketFault(ServiceFault):
    """What a client of S3 is told."""


class UnsupportedEncoding(CallerError):
    """The body has a Content-Encoding that is not read."""

    code = "UnsupportedMediaTypeException"


class ModelFault(SagebirdError):
    """What a model's container answers instead of a prediction: a status and a text."""

    code = "ModelError"
    status: int = 500
    container: str = ""
    """Which of several containers it comes from; "" where there is one, or while it is not known."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class BadPayload(ModelFault):
    """The body is not what its Content-Type says, or the model refuses it."""

    status = 400


class UnsupportedContentType(ModelFault):
    """The Content-Type is none that the model reads."""

    status = 415


class NotAcceptable(ModelFault):
    """The Accept header names nothing that the model writes."""

    status = 406


class ModelNotFound(ModelFault):
    """No such model below its folder, or none registered under that name."""

    status = 404


class ModelFailure(ModelFault):
    """The model's own code failed, while loading or while predicting."""


class HopTooLarge(ModelFault):
    """One container of a pipeline answered more than the next one may be given."""

    status = 413


class AnswerTooLarge(ModelFault):
    """A container answered more than is taken."""

    size_bytes: int = 0
    """How much, as far as that is known."""


class ModelTooLarge(ModelFault):
    """The model does not fit the memory that models may use."""

    status = 507


class ModelDied(ModelFault):
    """The process that was at the call ended before it had answered."""

    status = 502


class ModelUnreachable(ModelFault):
    """A model's container does not answer at its address, or is not healthy."""

    status = 503


class ModelTimeout(ModelFault):
    """No answer in time; 0 is the status that AWS reports for it."""

    status = 0


class ModelError(SagebirdError):
    """A ModelFault as the runtime API words it; members as in contract B.4."""

    code = "ModelError"


class ModelNotReady(SagebirdError):
    """A multi-model endpoint is still loading the target model."""

    code = "ModelNotReadyException"


class ObjectFault(SagebirdError):
    """An object cannot be listed, read or written; one sentence with its address or path."""

    def __init__(self, message: str, *, writing: bool = False) -> None:
        super().__init__(message)
        self.writing = writing


class ObjectUnreadable(ObjectFault):
    """An object is not there, or cannot be read; `called` is its address or path."""

    def __init__(self, called: str, reason: str) -> None:
        super().__init__(f"{called} cannot be read: {reason}.")
        self.reason = reason


class ObjectChanged(ObjectFault):
    """An object was to be replaced, and another one has its key by now; `called` is its address or path."""

    def __init__(self, called: str) -> None:
        super().__init__(f"{called} was not written: it has changed meanwhile.", writing=True)


class EngineFault(SagebirdError):
    """The container engine refuses, or cannot be asked: what is wrong, as the end of a sentence."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class LeaseLost(SagebirdError):
    """Another worker has taken over what this one was at; it must write nothing more of it."""

    def __init__(self) -> None:
        super().__init__("Another worker has taken this task over.")


class NotInstalled(SagebirdError):
    """Packages cannot be installed; with another interpreter they may, unless it is `final`."""

    def __init__(self, message: str, *, final: bool) -> None:
        super().__init__(message)
        self.final = final


class RecordError(SagebirdError):
    """The stream is not made of such records; `number` is that of the bad one, from 1."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.reason = reason


class PathError(SagebirdError):
    """A path that is not of the subset, or that finds nothing in a document."""


class ClientGone(SagebirdError):
    """The client closed the connection before its request was whole; there is nobody to answer."""

    def __init__(self) -> None:
        super().__init__("The client closed the connection before its request was whole.")


class Unavailable(SagebirdError):
    """Too busy or stopping; the same request may work later."""

    code = "ServiceUnavailable"


class StateDamaged(SagebirdError):
    """What the database holds cannot be read; one sentence with its file."""


class LoadRefused(SagebirdError):
    """A load test cannot be carried out as it was asked for; the message says why in a sentence."""


class UnclearAnswer(SagebirdError):
    """Nobody can tell what an answer predicts for which row; the message says why in a sentence."""


class StartupError(SagebirdError):
    """This process can never start as it was asked to: exit code 3 and this one sentence."""


class StateUnreadable(StartupError):
    """The database is damaged, or something else than a database: no other start mends that."""


class NotCompilable(SagebirdError):
    """There is no program for an estimator, or not for one of its making; the text says why."""
