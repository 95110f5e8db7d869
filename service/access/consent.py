"""Consent: the version of its text that is in force, and whether a member has agreed to it."""

from events.errors import ConsentRequired

# The version of the text in the README under "Consent".
CONSENT_VERSION = "1"


def has_consented(accepted_version: str | None) -> bool:
    """Whether that is the version in force; null where none was accepted."""
    return accepted_version == CONSENT_VERSION


def require_consent(accepted_version: str | None) -> None:
    """Raises ConsentRequired unless that is the version in force."""
    if not has_consented(accepted_version):
        raise ConsentRequired
