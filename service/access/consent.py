"""Consent: which version is current, and whether a member has given it."""

from events.errors import ConsentRequired
from service.access.authentication import Member

# The version of the text in the README under "Consent".
CONSENT_VERSION = "1"


def consented(member: Member) -> bool:
    """Whether the member has agreed to the text that is in force."""
    return member.consent_version == CONSENT_VERSION


def require_consent(member: Member) -> None:
    """Raises ConsentRequired for who has not agreed to it."""
    if not consented(member):
        raise ConsentRequired
