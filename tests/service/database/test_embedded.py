"""The embedded server as a service uses it: in a process of its own, which is then ended in every way."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from service.database.embedded import running, still_running, wal_settings
from service.errors import DataDirInUse, EmbeddedError
from tests.support.postgres import FAST, in_memory

pytestmark = pytest.mark.database  # of its own

ROOT = Path(__file__).parents[3]

SERVICE = """
import signal, sys
from pathlib import Path
from service.database.embedded import running

with running(Path(sys.argv[1]), {"fsync": "off"}) as url:
    print(url, flush=True)
    signal.pause()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not in pytest's directory: nobody else may enter that, and a server of root's is somebody else."""
    directory = Path(tempfile.mkdtemp(prefix="mutuality-", dir=in_memory()))
    yield directory / "data"
    assert servers_on(directory) == []
    shutil.rmtree(directory)


@contextmanager
def service(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the server; it may be ended inside."""
    command = [sys.executable, "-c", SERVICE, str(data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def url_of(process: subprocess.Popen[str]) -> str:
    """Its DSN, once the server is ready."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def said(data_dir: Path) -> str:
    """What the server has said since its last start: nothing yet, while its log of before is being put aside."""
    with suppress(FileNotFoundError):
        return (data_dir / "postgres.log").read_text()
    return ""


def servers_on(data_dir: Path) -> list[int]:
    """The processes of PostgreSQL that work under a directory."""
    return [
        process.pid
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and (process.info["cwd"] or "").startswith(f"{data_dir}/")
    ]


def until(is_so: Callable[[], bool]) -> None:
    """Look again and again, for at most a minute: what another process does, nothing here is told of."""
    for _ in range(1200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it never comes to that")


def ask(url: str, sql: str) -> object:
    async def once() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(once())


def test_data_survive_a_restart(data_dir: Path) -> None:
    with running(data_dir, FAST) as url:
        ask(url, "CREATE TABLE kept AS SELECT 7 AS value")
    with running(data_dir, FAST) as url:
        assert ask(url, "SELECT value FROM kept") == 7
        assert ask(url, "SELECT current_database()::text") == "mutuality"


def test_a_dropped_database_is_made_again(data_dir: Path) -> None:
    with running(data_dir, FAST) as url:
        ask(url.replace("/mutuality?", "/postgres?"), "DROP DATABASE mutuality")
    with running(data_dir, FAST) as url:
        assert ask(url, "SELECT 1") == 1


def test_it_is_durable_private_and_quiet(data_dir: Path) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "max_connections": "100",
        "log_statement": "none",
        "log_parameter_max_length_on_error": "0",
    }
    with running(data_dir) as url:
        assert {name: ask(url, f"SHOW {name}") for name in expected} == expected
        with pytest.raises(asyncpg.UndefinedTableError):
            ask(url, "SELECT 'a secret' FROM nowhere")
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            ask(url, "SELECT 'a secret'::uuid")
    assert said(data_dir)
    assert "secret" not in said(data_dir)


def test_only_its_own_user_can_enter(data_dir: Path) -> None:
    with running(data_dir, FAST):
        for directory in (data_dir / "postgres", data_dir / "socket"):
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_environment_does_not_reach_it(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPORT": "6000",
        "PGDATA": "/nowhere",
        "PGSSLMODE": "require",
        "PGUSER": "x",
    }.items():
        monkeypatch.setenv(name, value)
    with running(data_dir, FAST) as url:
        assert ask(url, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["with space, comma and 'quotes\"", "ü" * 60])
def test_any_path_will_do(data_dir: Path, name: str) -> None:
    with running(data_dir / name, FAST) as url:
        assert ask(url, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to let PostgreSQL's user through")
def test_root_opens_a_closed_directory_to_no_one_else(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700, parents=True)
    with running(closed / "data", FAST) as url:
        assert ask(url, "SELECT 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) & stat.S_IRWXO == 0
    nobody = subprocess.run(["ls", closed / "data"], user="nobody", group="nogroup", extra_groups=[], check=False)
    assert nobody.returncode != 0


def test_a_second_start_is_refused_in_one_sentence(data_dir: Path) -> None:
    with running(data_dir, FAST) as url:
        with (
            pytest.raises(DataDirInUse, match=rf"^Another .* already running on {data_dir}\.$"),
            running(data_dir),
        ):
            pass
        assert ask(url, "SELECT 1") == 1


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmbeddedError, match=f"{file} cannot be used"), running(file):
        pass


def test_a_setting_that_it_refuses_points_to_its_log(data_dir: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"see .*/postgres\.log"), running(data_dir, {"nonsense": "1"}):
        pass
    assert "nonsense" in said(data_dir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_the_server_with_the_service(data_dir: Path, number: signal.Signals) -> None:
    with service(data_dir) as process:
        url_of(process)
        assert servers_on(data_dir)
        process.send_signal(number)
        process.wait(timeout=10)
        assert servers_on(data_dir) == []


def test_open_connections_do_not_hold_it_up(data_dir: Path) -> None:
    async def stay_connected() -> None:
        with running(data_dir, FAST) as url:
            connection = await asyncpg.connect(url)
        connection.terminate()

    asyncio.run(stay_connected())
    # Had it waited for the connection, it would have been ended at last without a chance to shut down.
    assert "received fast shutdown request" in said(data_dir)
    assert "database system is shut down" in said(data_dir)


@pytest.mark.parametrize("begun", ["lock", "postgres.new", "postgres", "postgres/postmaster.pid"])
def test_ctrl_c_while_it_starts_leaves_nothing(data_dir: Path, begun: str) -> None:
    with service(data_dir) as process:
        until((data_dir / begun).exists)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        assert servers_on(data_dir) == []
    with running(data_dir, FAST) as url:
        assert ask(url, "SELECT 1") == 1


def test_the_next_start_replaces_a_server_that_outlived_its_service(data_dir: Path) -> None:
    with service(data_dir) as process:
        ask(url_of(process), "CREATE TABLE kept AS SELECT 7 AS value")
        process.kill()
        process.wait()
        left_over = servers_on(data_dir)
        assert left_over
        with running(data_dir, FAST) as url:
            assert ask(url, "SELECT value FROM kept") == 7
            assert not set(left_over) & set(servers_on(data_dir))


def test_the_dead_are_not_waited_for_where_nobody_looks_after_them() -> None:
    # The shell becomes a program that never asks after the child that the shell had.
    with subprocess.Popen(["sh", "-c", "true & exec sleep 60"]) as parent:
        try:
            until(lambda: psutil.Process(parent.pid).name() == "sleep")
            (child,) = psutil.Process(parent.pid).children()
            until(lambda: child.status() == psutil.STATUS_ZOMBIE)
            assert still_running([child], 0) == []
            assert still_running([psutil.Process(parent.pid)], 0) != []
        finally:
            parent.kill()


def test_it_recovers_when_all_are_killed(data_dir: Path) -> None:
    with service(data_dir) as process:
        ask(url_of(process), "CREATE TABLE kept AS SELECT 7 AS value")
        process.kill()
        process.wait()  # until then it holds the lock on its data
        kill_servers(data_dir)
        with running(data_dir, FAST) as url:
            assert ask(url, "SELECT value FROM kept") == 7


def test_a_number_reused_by_another_process_does_not_keep_it_from_starting(data_dir: Path) -> None:
    with service(data_dir) as process:
        url_of(process)
        pid_file = data_dir / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        process.kill()
        kill_servers(data_dir)
    # Of the same user, as PostgreSQL would not be misled by another's.
    user = pid_file.stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=user) as other:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
        with running(data_dir, FAST) as url:
            assert ask(url, "SELECT 1") == 1
        assert other.poll() is None
        other.kill()


def kill_servers(data_dir: Path) -> None:
    """End them all, at once, without a chance to tidy up."""
    for pid in servers_on(data_dir):
        with suppress(psutil.NoSuchProcess):  # when the first is gone, the others end by themselves
            psutil.Process(pid).kill()


def answers(url: str) -> bool:
    """Whether the server is there."""
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return ask(url, "SELECT true") is True
    return False


def test_a_server_that_is_killed_is_started_again(data_dir: Path) -> None:
    with running(data_dir) as url:
        ask(url, "CREATE TABLE kept AS SELECT 7 AS value")
        for _ in range(2):
            killed = servers_on(data_dir)
            kill_servers(data_dir)
            until(lambda: answers(url))
            assert ask(url, "SELECT value FROM kept") == 7
            assert not set(killed) & set(servers_on(data_dir))


def test_a_server_that_cannot_start_is_tried_until_it_can(data_dir: Path) -> None:
    with running(data_dir, FAST) as url:
        control = data_dir / "postgres" / "global" / "pg_control"
        aside = control.rename(data_dir / "aside")
        kill_servers(data_dir)
        until(lambda: "pg_control" in said(data_dir))
        aside.rename(control)
        until(lambda: answers(url))


def test_it_stops_while_its_server_cannot_start(data_dir: Path) -> None:
    with running(data_dir, FAST):
        (data_dir / "postgres" / "global" / "pg_control").unlink()
        kill_servers(data_dir)
        until(lambda: not servers_on(data_dir))


@pytest.mark.parametrize(("disk_gb", "kept"), [(0.25, "64MB"), (5, "512MB"), (4000, "1024MB")])
def test_the_servers_own_log_leaves_room_on_a_small_disk(disk_gb: float, kept: str) -> None:
    assert wal_settings(int(disk_gb * 2**30))["max_wal_size"] == kept
