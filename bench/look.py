"""Where a job's time goes: its operators by time, and a flame graph."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import torch

from minisd import UserError
from minisd.base.outputs import write_text

from .timing import Runner

INTERVAL = 1e-3  # seconds between two looks at the stack
MISSING = 'pyinstrument draws the flame graph and is not there: pip install "minisd[bench]"'


def operators(profile: torch.profiler.profile, most: int, cuda: bool) -> str:
    """A Markdown table of the operators that take longest by themselves, without those that they call.

    The rows "suppress: …" are the engine's ranges; their own time is that of Python and of what has no row. On a GPU,
    the time is that of the kernels.
    """
    name = "self_device_time_total" if cuda else "self_cpu_time_total"
    rows = [(getattr(row, name), row.count, row.key) for row in profile.key_averages()]
    total = sum(time for time, _, _ in rows) or 1
    lines = ["| operator | share | ms | calls | µs a call |", "|---" * 5 + "|"]
    for time, count, key in sorted(rows, reverse=True)[:most]:
        lines.append(f"| `{key}` | {time / total:.1%} | {time / 1e3:.0f} | {count} | {time / count:.0f} |")
    return "\n".join(lines)


def check_flame(name: str | None) -> None:
    """UserError, before the work starts, if no flame graph can be drawn into this file."""
    if name is None:
        return
    if Path(name).suffix != ".html":
        raise UserError(f"--flame {name}: expected a name that ends in .html")
    if not Path(name).absolute().parent.is_dir():
        raise UserError(f"--flame {name}: there is no folder {Path(name).absolute().parent}")
    if importlib.util.find_spec("pyinstrument") is None:
        raise UserError(MISSING)


def flame(runner: Runner, path: Path) -> Path:
    """Writes the flame graph of one job: which function called which, and for how long, as a page of its own.

    It shows functions of Python. The time of an operator belongs to the function that called it. Calls that the engine
    would run at the same time run one after the other, because the graph shows one thread.
    """
    from pyinstrument import Profiler

    if runner.rung.plan is not None:
        one_thread = replace(runner.rung, plan=replace(runner.rung.plan, at_once=False))
        runner = Runner(runner.sd, runner.scenario, one_thread)
        runner.run()  # packs the weights
    profiler = Profiler(interval=INTERVAL)
    with profiler:
        runner.run()
    return write_text(path, profiler.output_html())
