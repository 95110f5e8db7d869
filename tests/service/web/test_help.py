"""Where to turn: the same for everybody, at once, and honest about what nobody has made sure of."""

import re

import pytest

from service.web.help import help_for
from tests.support.phones import Running

REGIONS = help_for(None).regions


async def test_it_is_the_same_bytes_for_everybody(service: Running) -> None:
    one, two = await service.couple()
    answers = [await phone.call("GET", "/v1/help", params={"region": "DE"}) for phone in (service.phone(), one, two)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    again = await one.call("GET", "/v1/help?region=de", headers={"If-None-Match": answers[0].headers["ETag"]})
    assert again.status_code == 304


async def test_where_nothing_is_listed_there_is_what_holds_anywhere(service: Running) -> None:
    phone = service.phone()
    anywhere = await phone.get("/v1/help")
    assert anywhere["region"] is None
    assert anywhere["places"] != []
    assert await phone.get("/v1/help", region="XX") == anywhere
    assert (await phone.call("GET", "/v1/help?region=nowhere")).status_code == 422


@pytest.mark.parametrize("region", REGIONS)
def test_each_country_has_an_emergency_number_and_places_that_name_their_page(region: str) -> None:
    found = help_for(region)
    assert found.region == region
    assert found.emergency != []
    assert all(re.fullmatch(r"[0-9]{2,3}", number) for number in found.emergency)
    assert len(found.places) > len(help_for(None).places)
    for place in found.places:
        assert place.url.startswith("https://")
        assert place.phone is None or re.fullmatch(r"[0-9][0-9 -]+", place.phone)
        # Whoever has called there sets it in the file, and changes this line.
        assert place.verified is False
