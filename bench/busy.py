"""The README's first command on an idle machine and on a busy one, with threads that sleep and threads that spin.

    python -m bench.busy            # three runs of each case
    python -m bench.busy --runs 5 --busy 2

To imitate a busy machine, --busy processes compute without end. PyTorch's threads spin while they wait for work, unless
OMP_WAIT_POLICY is PASSIVE; the commands set something between the two (minisd/cli/options.py).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from .report import machine, measured_on

COMMAND = [sys.executable, "-m", "suppress.cli", "a man without glasses", "--remove", "glasses", "--seed", "0"]
# the command's own choice; threads that sleep at once; threads that spin, as PyTorch's do without a setting
POLICIES = {
    "as the command sets it": {},
    "PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "ACTIVE": {"OMP_WAIT_POLICY": "ACTIVE"},
}
LIMIT = 600  # seconds; a run that takes longer is stopped


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.busy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument("--busy", type=int, default=2, help="busy processes beside the command (default 2)")
    args = parser.parse_args(argv)
    print(f"The README's first command; {measured_on(machine(torch.device('cpu')))}\n")
    print(f"| OMP_WAIT_POLICY | idle, s | beside {args.busy} busy processes, s | × |\n|---|---|---|---|")
    for policy in POLICIES:
        idle = [seconds(policy) for _ in range(args.runs)]
        with busy(args.busy):
            beside = [seconds(policy) for _ in range(args.runs)]
        print(f"| {policy} | {_list(idle)} | {_list(beside)} | {min(beside) / min(idle):.2f} |", flush=True)


def seconds(policy: str, command: Sequence[str] = COMMAND) -> float:
    """The wall time of the command in a new process, which works in a temporary folder."""
    unset = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    env = unset | POLICIES[policy] | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=env, timeout=LIMIT)
        return time.perf_counter() - start


@contextmanager
def busy(count: int) -> Iterator[None]:
    """While the block runs, `count` processes compute."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in sorted(values))


if __name__ == "__main__":
    main()
