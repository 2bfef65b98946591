"""One process at a time writes a file; its owner is named; a killed owner blocks nobody."""

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from minisd import UserError
from suppress.evaluation.lock import owned

pytestmark = pytest.mark.quick

HOLD = """
import sys, time
from pathlib import Path
from suppress.evaluation.lock import owned
with owned(Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that owns cells.jsonl."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "cells.jsonl")], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"owned\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_owns_the_file(tmp_path, owner):
    pattern = rf"cells.jsonl is being written by process {owner.pid} on .+, since \d{{4}}-\d\d-\d\d .* UTC; wait"
    with pytest.raises(UserError, match=pattern), owned(tmp_path / "cells.jsonl"):
        pass
    with owned(tmp_path / "others.jsonl"):  # another file is free
        pass
    with pytest.raises(UserError, match=str(owner.pid)), owned(tmp_path / "cells.jsonl"):  # the owner is still named
        pass


def test_a_killed_owner_blocks_nobody(tmp_path, owner):
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert len(list(tmp_path.iterdir())) == 2  # what it has left
    with owned(tmp_path / "cells.jsonl"):
        assert re.search(rf'"pid": {os.getpid()},', (tmp_path / "cells.jsonl.owner").read_text())
    assert not list(tmp_path.iterdir())


def test_an_owner_that_ends_leaves_no_lock_for_two(tmp_path, monkeypatch):
    """The first owner removes the file and frees its lock after the second has opened the file, but not locked it."""
    fcntl = pytest.importorskip("fcntl")  # Windows removes no open file
    cells, flock, first = tmp_path / "cells.jsonl", fcntl.flock, ExitStack()
    first.enter_context(owned(cells))
    opened = []

    def late(fd, operation):
        if not opened:
            opened.append(fd)
            first.close()
        return flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with owned(cells):
        assert opened and (tmp_path / "cells.jsonl.lock").exists()  # the file that is locked has its name
        with pytest.raises(UserError, match=f"is being written by process {os.getpid()} on"), owned(cells):
            pass
    assert not list(tmp_path.iterdir())


def test_the_lock_ends_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), owned(tmp_path / "cells.jsonl"):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())
