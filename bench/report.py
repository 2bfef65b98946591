"""The ladder as a JSON file (never edited by hand), as a Markdown table and as a plot."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from minisd.base.outputs import free_name, write_text

from .scenario import Scenario
from .timing import Measured, quantile

RESULTS = Path(__file__).parent / "results"


def machine(device: torch.device) -> dict[str, Any]:
    """The machine and the software on which the figures depend."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = _cpu_name()
    return {
        "device": name,
        "kind": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, with a "+" if files differ from it."""
    try:
        done = [
            subprocess.run(
                ["git", *args], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
            ).stdout.strip()
            for args in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done[0] + ("+" if done[1] else "")


def content(measured_by: dict[str, Any], scenario: Scenario, rungs: list[tuple[Measured, float]], peaks: dict) -> dict:
    """The content of the JSON file.

    measured_by: the result of `machine`. rungs: figures and FLOPs of each. peaks: dtype -> matrix peak, FLOP/s.
    """
    return {
        "machine": measured_by,
        "scenario": asdict(scenario),
        "settings": asdict(scenario.settings),
        "matrix_peak": peaks,
        "rungs": [asdict(measured) | {"flops": flops} for measured, flops in rungs],
    }


def write(data: dict, folder: Path = RESULTS) -> Path:
    """Writes a new file: no earlier result is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    s, device = data["scenario"], re.sub(r"[^a-z0-9]+", "-", data["machine"]["device"].lower()).strip("-")
    stem = f"{Path(s['model']).stem}-{s['job']}-b{s['batch']}-{device}"
    path = free_name(stem, folder, beside=(".json",)).with_suffix(".json")
    return write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


COLUMNS = (
    "",
    "s [p10, p90]",
    "×",
    "ms a forward",
    "an iteration",
    "a step",
    "first run, s",
    "peak GiB",
    "launches",
    "of the peak",
    "worst Δ",
    "PSNR, dB",
)


def markdown(data: dict) -> str:
    """One line per rung. × compares with the median of the first rung."""
    base = quantile(data["rungs"][0]["seconds"], 0.5)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for rung in data["rungs"]:
        median = quantile(rung["seconds"], 0.5)
        of_peak = rung["flops"] / median / data["matrix_peak"][rung["dtype"]]
        cells = (
            rung["rung"],
            f"{median:.2f} [{quantile(rung['seconds'], 0.1):.2f}, {quantile(rung['seconds'], 0.9):.2f}]",
            f"{base / median:.2f}",
            f"{rung['ms_forward']:.1f}",
            _or_dash(rung["ms_iteration"], ".1f"),
            f"{rung['ms_step']:.0f}",
            f"{rung['first']:.1f}",
            _or_dash(rung["peak_gib"], ".2f"),
            _or_dash(rung["launches"], "d"),
            f"{of_peak:.0%}",
            f"{rung['worst_delta']:.0e}",
            f"{rung['psnr']:.0f}" if rung["psnr"] < 1e3 else "∞",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def caption(data: dict) -> str:
    """One line: what was measured, and on which machine."""
    s = data["scenario"]
    return f"{s['model']}, job {s['job']!r}, batch {s['batch']}, {measured_on(data['machine'])}"


def measured_on(m: dict[str, Any]) -> str:
    """A phrase that names the machine. m: the result of `machine`."""
    device = m["device"] if m["kind"] == "cuda" else f"the CPU ({m['device']}, {m['threads']} threads), not a GPU"
    return f"measured on {device}; torch {m['torch']}, {m['commit']}"


def plot(data: dict, path: Path) -> Path:
    """Bars: the seconds of each rung, with p10 and p90 as whiskers, and how many times faster it is than the first."""
    from matplotlib.figure import Figure

    rungs = data["rungs"][::-1]
    medians = [quantile(r["seconds"], 0.5) for r in rungs]
    spread = [[abs(quantile(r["seconds"], q) - m) for r, m in zip(rungs, medians, strict=True)] for q in (0.1, 0.9)]
    figure = Figure(figsize=(8, 0.4 * len(rungs) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh([r["rung"] for r in rungs], medians, xerr=spread, color="#4878a8", ecolor="#333333", capsize=2)
    axes.bar_label(bars, [f"{medians[-1] / m:.2f} ×" for m in medians], padding=6)
    axes.set_xlabel("seconds a job")
    axes.set_xlim(0, max(medians) * 1.15)
    axes.set_title(caption(data).replace(", measured", "\nmeasured"), fontsize=8, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    return path
