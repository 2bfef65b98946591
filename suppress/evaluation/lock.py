"""One process at a time writes a file of cells; a second one is told who has it.

The lock is the operating system's (`filelock`), which frees it when its owner ends, however it ends. A second file
names the owner: process, host and since when. Both are removed at the end; what a killed owner has left is replaced.

The lock's file is removed before the lock is freed. So a process that has opened it just before gets the lock of a file
without a name, which keeps nobody out. `filelock` sees this (from 3.30 on, which leaves the removing to us, too) and
tries again with the file that has the name then.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from minisd import UserError
from minisd.base.outputs import write_text

PATIENCE = 0.2  # seconds in which it is tried again: an owner may just now end
LOCK, OWNER = ".lock", ".owner"  # endings that follow the name of the file


@contextmanager
def owned(out: Path) -> Iterator[None]:
    """The file belongs to this process inside the block. UserError, which names the owner, if it has another one."""
    from filelock import FileLock, Timeout

    lock, owner = (out.with_name(out.name + ending) for ending in (LOCK, OWNER))
    held = FileLock(lock, timeout=PATIENCE)
    try:
        held.acquire()
    except Timeout:
        raise UserError(
            f"{out} is being written by {_owner(owner)}; wait until it ends, or name another --out (--shard lets "
            "several processes share the work, each with its own file)"
        ) from None
    try:
        since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        write_text(owner, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}) + "\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        with suppress(OSError):  # Windows removes no open file
            lock.unlink(missing_ok=True)
        held.release()


def _owner(file: Path) -> str:
    """The owner as its file names it. It may just now be written or removed."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
