"""Which release answers."""

from litestar import get
from litestar.types import ASGIApp
from msgspec import Struct

from service.core.version import CONTRACT_VERSION, SERVICE_VERSION
from service.web.operation import described
from service.web.requests import ApiRequest
from service.web.responses import tagged_answer


class Version(Struct, frozen=True):
    """The release of the service, and the version of the contract that it keeps."""

    service: str
    contract: str


@get(
    "/v1/version",
    opt=described(
        id="getVersion",
        tag="Health",
        summary="Which release answers, and which contract it keeps",
        answers={200: Version},
        signed_in=False,
        cached=True,
    ),
)
async def get_version(request: ApiRequest) -> ASGIApp:
    """The first number of the contract changes only with what breaks an app."""
    return tagged_answer(request, Version(SERVICE_VERSION, CONTRACT_VERSION))
