"""A name server that does not answer, named by somebody's push address, keeps nobody else waiting."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpcore
import pytest

from service.accounts.id_tokens import JwksCache
from service.core.mail import Mail, SmtpMailer
from service.core.networks import networks
from service.push.resolver import THREADS, Resolver
from service.push.ssrf_guard import PublicNetwork
from tests.support.phones import NOON, PostBox
from tests.support.vouching import KeyServer

SLOW = ".slow.example"
MANY = 5 * THREADS  # and more than the threads that a loop shares among all


class NameServers:
    """What names lead to: those that end so are asked for until they are released."""

    def __init__(self) -> None:
        self.answering, self.asked, self.at_once = threading.Event(), list[str](), 0
        self._real = socket.getaddrinfo
        self._asking, self._lock = 0, threading.Lock()

    def getaddrinfo(self, host: Any, port: Any, *given: Any, **options: Any) -> Any:
        """As the standard library has it."""
        if not str(host).endswith(SLOW):
            return self._real(host, port, *given, **options)
        with self._lock:
            self.asked.append(host)
            self._asking += 1
            self.at_once = max(self.at_once, self._asking)
        self.answering.wait(60)
        with self._lock:
            self._asking -= 1
        raise socket.gaierror


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    made = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.answering.set()


async def until(what: Any) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 a thread tells
            await asyncio.sleep(0.01)


async def test_while_push_addresses_hang_all_other_look_ups_go_on(servers: NameServers) -> None:
    network = PublicNetwork()
    hanging = [asyncio.create_task(network.connect_tcp(f"{number}{SLOW}", 443, 60)) for number in range(MANY)]
    await until(lambda: len(servers.asked) >= THREADS)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(4), PostBox().open() as post:
        assert await loop.getaddrinfo("localhost", 1)  # as the database is looked up
        port = urlsplit(post.url).port
        await SmtpMailer(f"smtp://localhost:{port}", "x@example.org").send(Mail("a@example.org", "x", "x\n"))
        with KeyServer().open() as keys:
            named = keys.url.replace("127.0.0.1", "localhost")
            assert await JwksCache(named).key("first", NOON + timedelta(days=1))
    assert servers.at_once <= THREADS
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)


async def test_nobody_waits_for_long_and_as_many_as_before_are_asked_for(servers: NameServers) -> None:
    names = Resolver(threads=2, seconds=0.2)
    answers = await asyncio.gather(*(names.resolve(f"{n}{SLOW}", 443) for n in range(5)), return_exceptions=True)
    assert [type(one) for one in answers] == [TimeoutError] * 5
    assert servers.at_once == len(servers.asked) == 2
    servers.answering.set()
    await until(lambda: not names._under_way)
    assert await names.resolve("127.0.0.1", 443) == ["127.0.0.1"]
    # What nobody waited for has given its thread back.
    assert {type(one) for one in await asyncio.gather(*(slow(names, n) for n in range(5)))} == {socket.gaierror}


async def slow(names: Resolver, number: int) -> BaseException | None:
    try:
        await names.resolve(f"{number}{SLOW}", 443)
    except OSError as failure:
        return failure
    return None


async def test_of_one_host_one_is_asked_for_at_a_time(servers: NameServers) -> None:
    names = Resolver(threads=2)
    waiting = [asyncio.create_task(slow(names, 1)) for _ in range(10)]
    await until(lambda: servers.asked)
    assert await names.resolve("127.0.0.1", 443) == ["127.0.0.1"]
    servers.answering.set()
    assert {type(await one) for one in waiting} == {socket.gaierror}
    assert len(servers.asked) == 1


async def test_what_is_not_found_in_time_is_not_connected_to(servers: NameServers) -> None:
    network = PublicNetwork(networks("127.0.0.0/8"))
    network._resolver = Resolver(seconds=0.1)
    with pytest.raises(httpcore.ConnectTimeout):
        await network.connect_tcp(f"a{SLOW}", 443, 5)
