"""The catalogue of questions, over HTTP."""

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from service.access.authentication import current_member
from service.core.languages import Language
from service.prompts.catalogue import TEXTS, Questions, catalogue
from service.web.operation import described
from service.web.requests import ApiRequest, decode_query, language_of
from service.web.responses import tagged_answer


class QuestionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """In which language; Accept-Language where left out."""

    language: Language | None = None


@get(
    "/v1/questions",
    opt=described(
        id="listQuestions",
        tag="Be asked",
        summary="The questions that a prompt may ask, in one language",
        query=QuestionsQuery,
        answers={200: Questions},
        cached=True,
    ),
)
async def list_questions(request: ApiRequest) -> ASGIApp:
    """The same for everybody; it changes with a release only."""
    await current_member(request)
    return tagged_answer(
        request, catalogue(language_of(request, decode_query(request, QuestionsQuery).language, TEXTS))
    )
