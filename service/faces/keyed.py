"""Who may come in where keys are asked for: whoever brings one, or a signature by one, that allows it."""

from functools import partial

from service.access.claims import AskedHead, Claim, Claims
from service.access.credentials import missing_for_aws, read_credentials
from service.access.keyring import Keyring
from service.access.permissions import Need, needed, permits
from service.control.identity import ROLE
from service.domain import sentences
from service.domain.access_keys import AccessKey, Permission
from service.domain.caller import Caller
from service.errors import CallerError, CredentialsMissing, NotAllowed
from service.faces.identity import Admitted, Deny, Make
from service.faces.limits import RateLimits, counted
from service.faces.proofs import Proof, SignedHead
from service.http.asgi import Headers
from service.http.reply import Answered, Answering
from service.wire import sigv4

_LENGTH = b"content-length"
_CHUNKED = b"transfer-encoding"
_AT_ENDPOINT = "/endpoints/"


class KeyedDoor:
    """A doorkeeper that goes by keys."""

    def __init__(self, keyring: Keyring, server: Caller, limits: RateLimits) -> None:
        """`server` has the account and the region that all callers share."""
        self._keyring = keyring
        self._claims = Claims(keyring)
        self._server = server
        self._limits = limits

    def admit(self, head: AskedHead, need: Need | None = None) -> Admitted:
        """See identity.Doorkeeper."""
        need = needed(head.method, head.path) if need is None else need
        if need is None:
            return Admitted(self._server._replace(permissions=""))
        try:
            brought = read_credentials(head.headers, head.query)
        except CredentialsMissing:
            if (head.method, head.path) == ("POST", "/"):
                raise missing_for_aws() from None
            raise
        if brought.api_key is not None:
            key = self._keyring.of_api_key(brought.api_key)
            if not permits(key, need):
                raise _not_allowed(key, need)
            return self._limited(Admitted(self._caller(key)), key)
        claim = self._claims.read(head, brought.authorization)
        return self._limited(self._claimed(head, claim, need), claim.key)

    def _limited(self, admitted: Admitted, key: AccessKey) -> Admitted:
        at_once = self._limits.at_once(key)
        return admitted._replace(
            take=self._limits.of_key(key),
            most_body_bytes=key.most_body_bytes,
            around=None if at_once is None else at_once.around,
            is_good=partial(self._keyring.is_still_good, key),
        )

    def _claimed(self, head: AskedHead, claim: Claim, need: Need) -> Admitted:
        """Who has signed a request; that he may not ask this he is told once he has proven who he is."""
        caller = self._caller(claim.key)._replace(session_id=claim.session_id)
        proof = Proof(partial(self._claims.check_body, claim), claim.new_hash)
        refusal = None if permits(claim.key, need) else self._refusal(caller, claim.key, need, head.path)
        if claim.covers_body and _has_body(head.headers):
            return Admitted(caller, proof, refusal, lasts=False)
        proof.check(sigv4.NO_BODY)
        if refusal is not None:
            raise refusal
        return Admitted(caller, lasts=False)

    def prepare(self, path: str, headers: Headers, make: Make, deny: Deny) -> Answering:
        """See identity.Doorkeeper."""
        try:
            api_key = read_credentials(headers, b"").api_key
            if api_key is not None:
                key = self._keyring.of_api_key(api_key)
                return self._answering(path, make, deny, key, signed=False)
        except CallerError as error:
            return deny(error)
        inner = partial(self._answering, path, make, deny, signed=True)
        return Answering(None, _refuse_unproven, SignedHead(self._claims, path, inner, deny))

    def _answering(self, path: str, make: Make, deny: Deny, key: AccessKey, *, signed: bool) -> Answering:
        """What answers the requests of a key that are his for certain."""
        need, caller = needed("POST", path), self._caller(key)
        if need is None or permits(key, need):
            at_once, answering = self._limits.at_once(key), make(caller)
            if at_once is not None:
                answering = at_once.answering(answering, deny)
            return counted(answering, self._limits.of_key(key), key.most_body_bytes, deny)
        return deny(self._refusal(caller, key, need, path) if signed else _not_allowed(key, need))

    def _caller(self, key: AccessKey) -> Caller:
        allowed = [each for each in Permission if key.allows(each) and key.covers_all]
        told = " ".join(allowed)
        return self._server._replace(principal=key.name, permissions=told, key_id=key.id)

    def _refusal(self, caller: Caller, key: AccessKey, need: Need, path: str) -> CallerError:
        """What somebody is told who has signed."""
        if need.endpoint is None or not path.startswith(_AT_ENDPOINT):
            return _not_allowed(key, need)
        arns = caller.arns
        return NotAllowed(
            sentences.not_authorized(
                arns.assumed_role(ROLE, caller.principal),
                "sagemaker:InvokeEndpoint",
                arns.arn("endpoint", need.endpoint),
            )
        )


def _not_allowed(key: AccessKey, need: Need) -> NotAllowed:
    """What somebody is told who has the key, in which he may read what it allows."""
    allowed = ", ".join(sorted(key.permissions)) or "nothing"
    asked = " or ".join(need.permissions)
    where = "every endpoint" if need.endpoint is None else f"endpoint {need.endpoint}"
    return NotAllowed(
        f"The key {key.name} allows {allowed} at {', '.join(key.endpoints)}; this takes {asked} at {where}."
    )


def _has_body(headers: Headers) -> bool:
    """Whether a body is on its way."""
    return any(name == _CHUNKED or (name == _LENGTH and int(value) > 0) for name, value in headers)


def _refuse_unproven(_asked: object) -> list[list[Answered]]:
    raise RuntimeError("A signed request was to be answered that was not verified.")
