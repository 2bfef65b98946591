"""bench.busy: the processes beside a run end with it, and the setting reaches the command."""

import sys
import time

import pytest

from bench import busy


def test_busy_processes_run_while_the_block_does(monkeypatch):
    started = []
    real = busy.subprocess.Popen
    monkeypatch.setattr(busy.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1])
    with busy.busy(2):
        assert len(started) == 2 and all(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


def test_the_policy_reaches_the_command_and_its_time_is_taken():
    code = "import os, time; assert os.environ['OMP_WAIT_POLICY'] == 'ACTIVE'; time.sleep(.2)"
    start = time.perf_counter()
    taken = busy.seconds("ACTIVE", [sys.executable, "-c", code])
    assert 0.2 < taken <= time.perf_counter() - start


def test_a_command_that_fails_is_no_measurement():
    with pytest.raises(busy.subprocess.CalledProcessError):
        busy.seconds("PASSIVE", [sys.executable, "-c", "raise SystemExit(2)"])
