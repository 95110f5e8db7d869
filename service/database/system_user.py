"""Run a child process as a system user where root starts the service: PostgreSQL refuses to be run by root."""

import errno
import os
import pwd
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def make_user(name: str) -> pwd.struct_passwd:
    """The system user of that name, created if missing. Needs root."""
    with suppress(KeyError):
        return pwd.getpwnam(name)
    no_shell = ("--system", "--no-create-home", "--shell", "/usr/sbin/nologin")
    subprocess.run(["useradd", *no_shell, name], check=True, capture_output=True)
    return pwd.getpwnam(name)


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of subprocess.Popen: to run as `user` (None: as who we are), in a directory that all may enter.

    The PG… variables of this process are left out: they would change what PostgreSQL's programs do.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    arguments: dict[str, Any] = {"cwd": "/", "env": environment}
    if user is None:
        return arguments
    return {**arguments, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def let_pass(user: pwd.struct_passwd, path: Path) -> list[Path]:
    """Let one user, and nobody else, get through the directories above `path`; returns those opened to it.

    These (/root, as a rule) get an access control entry for this user: to go through, not to list or read.
    Their owner, their mode for others and their content stay as they are. Raises PermissionError if this does
    not help, or if `path` itself may not be entered or executed.
    """
    opened = []
    for directory in reversed(path.parents):
        if not _may_pass(user, path) and not _may_pass(user, directory):
            with suppress(OSError):  # a file system without such entries
                _add_passage(user.pw_uid, directory)
                opened.append(directory)
    if not _may_pass(user, path):
        raise PermissionError(f"the system user {user.pw_name} may not get to {path}")
    return opened


def _may_pass(user: pwd.struct_passwd, path: Path) -> bool:
    return subprocess.run(["test", "-x", path], check=False, **as_user(user)).returncode == 0


# The kernel's form of an access control list (linux/posix_acl_xattr.h): a version, then tag, permissions, id.
ACL_NAME = "system.posix_acl_access"
ACL_HEADER, ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
ACL_VERSION = 2
OWNER, USER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NO_ID = 0xFFFFFFFF
PASS = 0o1


def _add_passage(uid: int, directory: Path) -> None:
    """Let one user go through a directory, by an access control entry. OSError where there are none."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "no access control lists")
    entries = _access_control_list(directory)
    entries[USER, uid] = entries.get((USER, uid), 0) | PASS
    # The mask bounds what named users and the group may do; without one it is the group's permissions.
    entries[MASK, NO_ID] = entries.get((MASK, NO_ID), entries[GROUP, NO_ID]) | PASS
    body = b"".join(ACL_ENTRY.pack(tag, entries[tag, id_], id_) for tag, id_ in sorted(entries))
    os.setxattr(directory, ACL_NAME, ACL_HEADER.pack(ACL_VERSION) + body)


def _access_control_list(directory: Path) -> dict[tuple[int, int], int]:
    """The permissions by (tag, id); those of the mode where there is no list yet."""
    try:
        body = os.getxattr(directory, ACL_NAME)[ACL_HEADER.size :]
    except OSError:
        mode = directory.stat().st_mode
        return {(OWNER, NO_ID): mode >> 6 & 7, (GROUP, NO_ID): mode >> 3 & 7, (OTHER, NO_ID): mode & 7}
    return {(tag, id_): permissions for tag, permissions, id_ in ACL_ENTRY.iter_unpack(body)}
