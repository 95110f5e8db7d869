"""Accounts: signing in by a mailed code, Apple or Google; sessions and stepping up; name, time zone, consent, pauses.

Enters: mail addresses, codes, identity tokens, refresh tokens.
Leaves: tokens of a session; a member.
Writes: `members`, `addresses`, `identities`, `sign_in_nonces`, `sign_in_attempts`, `code_allowances`, `known_devices`,
`sessions`, `session_codes`, `access_tokens`, `refresh_tokens`; a member's name also where the other sees it
(`memberships`).
Never imports: `recording`, `relationships`.
"""

from typing import Any

from service.accounts.address_change import change_address, send_address_code
from service.accounts.consent import get_consent_text
from service.accounts.identity_providers import (
    make_sign_in_nonce,
    sign_in_with_apple,
    sign_in_with_google,
    step_up_with_apple,
    step_up_with_google,
)
from service.accounts.mailed_codes import send_sign_in_code, sign_in
from service.accounts.me import change_me, get_me, give_consent, withdraw_consent
from service.accounts.pauses import get_pause, list_pauses, put_pause, remove_pause
from service.accounts.sessions import end_session, list_sessions, refresh_session
from service.accounts.step_up import send_step_up_code, step_up

ROUTES: list[Any] = [
    send_sign_in_code,
    sign_in,
    make_sign_in_nonce,
    send_step_up_code,
    step_up,
    sign_in_with_apple,
    sign_in_with_google,
    step_up_with_apple,
    step_up_with_google,
    refresh_session,
    list_sessions,
    end_session,
    get_me,
    change_me,
    send_address_code,
    change_address,
    get_consent_text,
    give_consent,
    withdraw_consent,
    list_pauses,
    get_pause,
    put_pause,
    remove_pause,
]
