"""What an app does about each problem: written here once, shown at /docs/errors/{code}. A test keeps it complete."""

KEEPS_ENTRY = "It takes the entry out of its queue and shows `detail` beside it, so that its author can change it."
AGAIN = "It sends the same request again, unchanged: after the seconds of `Retry-After`, then at growing distances."

REMEDIES: dict[str, str] = {
    "address_taken": "It shows `detail`, and offers to sign in by that address instead.",
    "already_decided": "It records how its member tells that decision as a decision of their own, with `about`.",
    "already_retracted": "Nothing: the entry is taken back. It leaves the queue.",
    "already_told": "It shows the telling that stands; a retraction of it makes room for another.",
    "bad_request": "This is a mistake of the app. It notes the route and `X-Request-Id`, and does not send it again.",
    "concerns_stay_private": "It records the concerns in a private check-in, and shares another one without them.",
    "consent_required": "It shows the consent text and sends `PUT /v1/me/consent`; its queue stays as it is.",
    "empty_check_in": f"It asks for one answer at least before it records. {KEEPS_ENTRY}",
    "expires_too_early": f"It offers only times after `occurred_at`. {KEEPS_ENTRY}",
    "head_too_large": "This is a mistake of the app: its headers have grown, most often by cookies. It sends fewer.",
    "id_taken": "It gives the entry a random id of its own and sends it again. A retry of the same entry never gets "
    "this answer: something in the body has changed since.",
    "identity_refused": "It asks for a new nonce, signs in with the provider again, and sends the token that it gets.",
    "in_the_future": "The clock of the phone is ahead: `server_time` says by how much. It keeps the entry, shows that "
    "the clock is off, and sends the entry again once that time has come.",
    "incomplete_decision": f"It names both fields of one form. {KEEPS_ENTRY}",
    "internal": "It sends the same request again, at growing distances: an id makes that safe. It shows `detail`.",
    "invalid": "`errors` points to the place: an app that checks its fields against the document never gets here. "
    "It shows the message beside that field, and does not send the same body again.",
    "invite_not_found": "It shows `detail` and lets its member type the code again. Codes end after 24 hours, after "
    "one use, and when a new one is made.",
    "malformed_json": "This is a mistake of the app: the body is no JSON in UTF-8. It does not send it again.",
    "malformed_request": "This is a mistake of the app, or of a proxy on the way: what came was no HTTP request.",
    "method_not_allowed": "This is a mistake of the app; `Allow` names the methods that the address knows.",
    "no_address": "It offers to step up with Apple or Google instead.",
    "not_a_decision_for_both": f"It offers only decisions for both that the other recorded. {KEEPS_ENTRY}",
    "not_a_request": f"It offers only requests. {KEEPS_ENTRY}",
    "not_a_request_to_me": f"It offers only requests that the other made. {KEEPS_ENTRY}",
    "not_an_opening": f"It offers only openings. {KEEPS_ENTRY}",
    "not_found": "It forgets what it has kept of this address, reads the list above it again, and shows what is there.",
    "not_its_day": f"It offers the calendar date of `occurred_at` and the one before, no other. {KEEPS_ENTRY}",
    "not_mine": f"It offers a retraction only beside entries that say `by: me`. {KEEPS_ENTRY}",
    "not_retractable": f"It offers none beside events of other kinds. {KEEPS_ENTRY}",
    "not_signed_in": "It refreshes its tokens, once, and sends the same request again. If the refresh token is refused "
    "too, it shows the sign-in; the queue stays, for the same member.",
    "not_the_inviter": "It shows that the other one confirms.",
    "opening_withdrawn": "It records the decision without `opening_id`.",
    "own_decision": "Nothing is missing: one's own decision is one's own telling. It leaves the queue.",
    "own_request": "It offers a retraction for one's own requests, and decisions for the other's.",
    "provider_away": AGAIN,
    "refresh_refused": "It forgets its tokens and shows the sign-in. The queue stays, for the same member.",
    "relationship_not_active": "It keeps what is to be shared until the relationship is active, or records it as "
    "private; after an end, only private entries are left.",
    "request_lapsed": "It shows that the request had lapsed. A new request says the same again, if somebody wants it.",
    "request_retracted": "It shows that the request was taken back; the decision leaves the queue.",
    "sealed_about_nothing": f"It names `about`, or seals for the day or the week. {KEEPS_ENTRY}",
    "sealed_for_nothing": f"It leaves `sealed_for` out, or seals. {KEEPS_ENTRY}",
    "step_up_required": "It asks for a code (`POST /v1/sessions/step-up-codes`), sends it "
    "(`POST /v1/sessions/step-up`), and repeats the request within 5 minutes.",
    "too_large": "It sends its queue in smaller parts; a single entry never gets this large.",
    "too_many_requests": "It waits for the seconds of `Retry-After` and sends the same request again. Until then it "
    "shows what it has.",
    "try_again": AGAIN,
    "two_forms": f"It sends the fields of one form only. {KEEPS_ENTRY}",
    "unknown_event": "It sends what the entry refers to first: in `sync`, order is kept. If that is gone, it shows "
    "`detail` and lets the author record the entry without the reference.",
    "unreadable": "It shows what it has, and tries again after `Retry-After`. Nothing is lost; the operator looks.",
    "unsupported_media_type": "This is a mistake of the app: it sends `Content-Type: application/json`.",
    "wrong_code": "It lets its member type the code again. After 5 tries or 10 minutes it asks for a new one.",
    "wrong_state": "It reads the relationship again, and shows what its state allows.",
}
