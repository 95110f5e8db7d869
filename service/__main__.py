"""python -m service: serve, push, demo, migrate, rebuild, rotate-keys, parked, import FILE, openapi."""

import argparse
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from service.cli import demo, maintenance, push_worker, serve
from service.cli.http_protocol import DESCRIPTORS_FOR_OTHERS, MAX_CONNECTIONS
from service.errors import StartupError
from service.settings import Settings

COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve.serve,
    "push": push_worker.push,
    "demo": demo.run_demo,
    "migrate": maintenance.migrate,
    "rebuild": maintenance.rebuild,
    "rotate-keys": maintenance.rotate_keys,
    "parked": maintenance.parked,
    "import": maintenance.import_export,
    "openapi": maintenance.document,
}


def main() -> int:
    """Run one command; what goes wrong at the start is said in one sentence."""
    # A dump of memory would hold keys and what people wrote. What is started from here, PostgreSQL too, inherits this.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _allow_descriptors()
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    named = parser.add_subparsers(dest="command", metavar="command", required=True)
    parsers = {name: named.add_parser(name) for name in COMMANDS}
    parsers["import"].add_argument("file", type=Path)
    parsers["import"].add_argument("--email", help="the mail address by which the member is to sign in here")
    parsers["parked"].add_argument("--clear", action="store_true", help="delete them")
    given = vars(parser.parse_args())
    try:
        COMMANDS[given.pop("command")](Settings(), **given)
    except KeyboardInterrupt:
        return 0
    except ValidationError as error:
        wrong = ", ".join(f"MUTUALITY_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors())
        print(f"A setting cannot be used: {wrong}.", file=sys.stderr)
        return 1
    except StartupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _allow_descriptors() -> None:
    """As many as phones may need connections, where the system lets us: often 1,024 are given unasked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + DESCRIPTORS_FOR_OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


if __name__ == "__main__":
    sys.exit(main())
