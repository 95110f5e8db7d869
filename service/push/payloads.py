"""The payloads of pushes, constant for each class: no name, actor, count or id.

All classes share one collapse id: a reminder takes the place of the prompt on the screen, and a withdrawal that of
a prompt which has not reached the device yet.
"""

from typing import Final

from service.push.notices import PushClass

COLLAPSE_ID: Final = "check-in"

# A prompt must not come up hours later, when it is night; a withdrawal shows nothing and may.
TTL_SECONDS: Final = {
    PushClass.PROMPT: 3600,
    PushClass.REMINDER: 3600,
    PushClass.WITHDRAW: 86_400,
    PushClass.ACCEPTED: 3600,
}

# In the background Apple allows neither text nor badge nor sound: the app itself withdraws what it showed.
APNS: Final = {
    PushClass.PROMPT: b'{"aps":{"alert":{"body":"A moment for you"},"badge":1,"sound":"default"},"class":"prompt"}',
    PushClass.REMINDER: b'{"aps":{"alert":{"body":"Still a moment for you"},"badge":1},"class":"reminder"}',
    PushClass.WITHDRAW: b'{"aps":{"content-available":1},"class":"withdraw"}',
    PushClass.ACCEPTED: b'{"aps":{"alert":{"body":"Something to look at"},"badge":1},"class":"accepted"}',
}
APNS_TYPE: Final = {
    PushClass.PROMPT: "alert",
    PushClass.REMINDER: "alert",
    PushClass.WITHDRAW: "background",
    PushClass.ACCEPTED: "alert",
}
APNS_PRIORITY: Final = {
    PushClass.PROMPT: "10",
    PushClass.REMINDER: "10",
    PushClass.WITHDRAW: "5",
    PushClass.ACCEPTED: "10",
}

# The `android` part of a message; what is beside it is the registration token.
FCM: Final = {
    PushClass.PROMPT: (
        b'{"collapse_key":"check-in","priority":"HIGH","ttl":"3600s","data":{"class":"prompt"},'
        b'"notification":{"body":"A moment for you","tag":"check-in","notification_count":1}}'
    ),
    PushClass.REMINDER: (
        b'{"collapse_key":"check-in","priority":"HIGH","ttl":"3600s","data":{"class":"reminder"},'
        b'"notification":{"body":"Still a moment for you","tag":"check-in","notification_count":1}}'
    ),
    PushClass.WITHDRAW: (b'{"collapse_key":"check-in","priority":"NORMAL","ttl":"86400s","data":{"class":"withdraw"}}'),
    PushClass.ACCEPTED: (
        b'{"collapse_key":"check-in","priority":"HIGH","ttl":"3600s","data":{"class":"accepted"},'
        b'"notification":{"body":"Something to look at","tag":"check-in","notification_count":1}}'
    ),
}

WEB_PUSH: Final = {
    PushClass.PROMPT: b'{"class":"prompt","body":"A moment for you"}',
    PushClass.REMINDER: b'{"class":"reminder","body":"Still a moment for you"}',
    PushClass.WITHDRAW: b'{"class":"withdraw"}',
    PushClass.ACCEPTED: b'{"class":"accepted","body":"Something to look at"}',
}
# All are padded to this, so that a push service cannot tell them apart by their length.
WEB_PUSH_BYTES: Final = 128
