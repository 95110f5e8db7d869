"""The catalogue of questions, over HTTP."""

from typing import Annotated

from litestar import get
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from service.access.authentication import current_member
from service.prompts.catalogue import ENGLISH, Questions, catalogue
from service.web.operation import described
from service.web.requests import ApiRequest, decode_query
from service.web.responses import cacheable, cacheable_answer


class QuestionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """In which language."""

    language: Annotated[
        str,
        Meta(
            max_length=35,
            pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$",
            description="A BCP 47 tag, such as de-AT. What is not translated comes in English.",
        ),
    ] = ENGLISH


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
    return cacheable_answer(request, cacheable(catalogue(decode_query(request, QuestionsQuery).language)))
