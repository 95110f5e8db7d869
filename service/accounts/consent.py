"""What one consents to, in words, for whoever asks: before there is an account, too."""

from collections.abc import Mapping

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from service.access.consent import CONSENT_VERSION
from service.core.languages import Language
from service.web.operation import described
from service.web.requests import ApiRequest, decode_query, language_of
from service.web.responses import tagged_answer

TEXTS: Mapping[str, str] = {
    "en": """\
You write down here how your relationship goes: how something felt, what you asked for, who decided. Such notes can say
much about your health, your sexuality and your beliefs. The service keeps them only if you agree.

What you keep private, only you can read. What you share, your partner can read too, and can keep. When both of you
share or seal a check-in about the same thing, each sees the other's. Counts are made of what you recorded; nobody else
is compared with you, and nothing is sold or used for advertising.

Everything is kept encrypted. You can take all of it along, withdraw your agreement, leave a relationship or erase
everything of yours at any time, without giving a reason and without your partner. Once you withdraw, nothing more is
recorded.

You must be an adult. You agree for yourself alone; nobody can agree for you.
""",
    "de": """\
Du hältst hier fest, wie es in deiner Beziehung geht: wie sich etwas angefühlt hat, worum du gebeten hast, wer
entschieden hat. Solche Notizen können viel über deine Gesundheit, deine Sexualität und deine Überzeugungen verraten.
Der Dienst bewahrt sie nur auf, wenn du einwilligst.

Was du für dich behältst, kannst nur du lesen. Was du teilst, kann auch der andere lesen und behalten. Wenn ihr beide
einen Eintrag zu derselben Sache teilt oder versiegelt, sieht jeder den des anderen. Gezählt wird, was du eingetragen
hast; mit anderen Menschen wird niemand verglichen, und nichts wird verkauft oder für Werbung benutzt.

Alles wird verschlüsselt aufbewahrt. Du kannst jederzeit alles mitnehmen, die Einwilligung zurückziehen, eine Beziehung
verlassen oder alles von dir löschen, ohne Grund und ohne den anderen. Sobald du die Einwilligung zurückziehst, wird
nichts mehr eingetragen.

Du musst volljährig sein. Du willigst nur für dich selbst ein; niemand kann es für dich tun.
""",
}


class ConsentQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """In which language; Accept-Language where left out."""

    language: Language | None = None


class ConsentText(Struct, frozen=True):
    """What one consents to; the version is what PUT /v1/me/consent takes."""

    version: str
    language: str
    text: str


@get(
    "/v1/consent",
    opt=described(
        id="getConsentText",
        tag="Me",
        summary="What one consents to, in words",
        query=ConsentQuery,
        answers={200: ConsentText},
        signed_in=False,
        cached=True,
    ),
)
async def get_consent_text(request: ApiRequest) -> ASGIApp:
    """The same for everybody. Show it before consent is given, and name its version then."""
    language = language_of(request, decode_query(request, ConsentQuery).language, TEXTS)
    return tagged_answer(request, ConsentText(CONSENT_VERSION, language, TEXTS[language]))
