"""Errors of the service. A docstring is the sentence that the phone shows; `web.problems` gives each its status.

Exception
 ├─ ServiceError
 │   ├─ MalformedJson, UnsupportedMediaType, TooLarge, Invalid
 │   ├─ NotSignedIn, WrongCode, IdentityRefused, RefreshRefused
 │   ├─ StepUpRequired, NoAddress, WrongState, NotTheInviter
 │   ├─ NotFound, InviteNotFound
 │   └─ TooManyRequests, ProviderAway, Overloaded, ClockJumped
 └─ StartupError
     ├─ MigrationError, ImportRefused, KeyStoreError
     └─ EmbeddedError
         └─ DataDirInUse
"""

from collections.abc import Sequence

from msgspec import Struct


class Violation(Struct, frozen=True):
    """What is wrong, and where: a JSON pointer into the body, or a parameter of the query after a slash."""

    pointer: str
    message: str


class ServiceError(Exception):
    """The request cannot be answered as asked."""

    code = "refused"

    def __init__(self, detail: str | None = None, pointer: str = "", violations: Sequence[Violation] = ()) -> None:
        self.detail = detail or " ".join((type(self).__doc__ or "").split())
        self.violations = list(violations) or ([Violation(pointer, self.detail)] if pointer else [])
        super().__init__(self.code)

    @property
    def pointer(self) -> str:
        """The first place that does not fit; empty where none can be named."""
        return self.violations[0].pointer if self.violations else ""


class MalformedJson(ServiceError):
    """The body is not JSON in UTF-8, or it is nested too deeply."""

    code = "malformed_json"


class UnsupportedMediaType(ServiceError):
    """Send the body as application/json."""

    code = "unsupported_media_type"


class TooLarge(ServiceError):
    """The body is too large: 256 KiB at most, 2 MiB for sync."""

    code = "too_large"


class Invalid(ServiceError):
    """The request does not fit its description in /openapi.json."""

    code = "invalid"


class NotSignedIn(ServiceError):
    """Sign in: send a valid access token as Authorization: Bearer. Tokens last 15 minutes and are then refreshed."""

    code = "not_signed_in"


class WrongCode(ServiceError):
    """This code is not valid (any more). Codes last 10 minutes and 5 tries; ask for a new one."""

    code = "wrong_code"


class IdentityRefused(ServiceError):
    """This identity token is not accepted. Begin the sign-in anew: a token is for one sign-in, and for this app."""

    code = "identity_refused"


class RefreshRefused(ServiceError):
    """This refresh token is not valid (any more). Sign in again."""

    code = "refresh_refused"


class StepUpRequired(ServiceError):
    """Show first that it is you: ask for a code at /v1/sessions/step-up-codes and send it to /v1/sessions/step-up.

    That lasts 5 minutes.
    """

    code = "step_up_required"


class NoAddress(ServiceError):
    """You have no mail address here to which a code could go; step up with Apple or Google."""

    code = "no_address"


class AddressTaken(ServiceError):
    """Another account here has this mail address: sign in by it to use or to erase that one, or take another."""

    code = "address_taken"


class WrongState(ServiceError):
    """The relationship is not in a state in which this can be done."""

    code = "wrong_state"


class NotTheInviter(ServiceError):
    """Only the one who invited can confirm who accepted."""

    code = "not_the_inviter"


class NotFound(ServiceError):
    """There is nothing here that you can read."""

    code = "not_found"


class InviteNotFound(ServiceError):
    """This invite code does not work. Ask your partner for a new one."""

    code = "invite_not_found"


class TooManyRequests(ServiceError):
    """Too many attempts; wait before the next one."""

    code = "too_many_requests"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class ProviderAway(ServiceError):
    """The keys of this provider cannot be fetched just now; send the same request again soon."""

    code = "provider_away"
    retry_after_seconds = 5


class Overloaded(ServiceError):
    """The service has too much to do just now; send the same request again soon."""

    code = "try_again"
    retry_after_seconds = 1


class ClockJumped(ServiceError):
    """The service does not know what time it is just now; send the same request again soon."""

    code = "try_again"
    retry_after_seconds = 1


class StartupError(Exception):
    """The service cannot start; the message says why in one sentence."""


class MigrationError(StartupError):
    """The files and the database do not fit together; the message says what was expected and found."""


class EmbeddedError(StartupError):
    """The embedded PostgreSQL cannot run; the message is a sentence for whoever started the service."""


class DataDirInUse(EmbeddedError):
    """Another process is using the data directory."""


class ImportRefused(StartupError):
    """Nothing was taken in; the message says what is wrong with the export, or with the place that it is to go to."""


class KeyStoreError(StartupError):
    """A key is missing or does not open; the message says which, and what that means."""
