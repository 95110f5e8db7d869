"""The demo: who looks around in it is not signed out while they do."""

from datetime import timedelta

from service.cli.demo import DEMO_ACCESS_TTL
from service.context import ACCESS_TTL
from tests.support.phones import running


async def test_the_tokens_of_the_demo_last_the_day_and_no_others(database_url: str) -> None:
    for access_ttl, status in ((DEMO_ACCESS_TTL, 200), (ACCESS_TTL, 401)):
        async with running(database_url, access_ttl=access_ttl) as service:
            phone = await service.phone().sign_in()
            service.clock.time += timedelta(hours=23)
            await phone.expect(status, "GET", "/v1/me")
