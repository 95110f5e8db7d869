"""Consent: the version of its text that is in force, and who has agreed to it."""

from events.errors import ConsentRequired

# The version of the text in the README under "Consent".
CONSENT_VERSION = "1"


def has_consented(accepted_version: str | None) -> bool:
    """Whether who accepted that version, or none, has agreed to the text in force."""
    return accepted_version == CONSENT_VERSION


def require_consent(accepted_version: str | None) -> None:
    """Raises ConsentRequired for who has not agreed to the text in force."""
    if not has_consented(accepted_version):
        raise ConsentRequired
