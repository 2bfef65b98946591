"""Seconds, bytes and launches of one way to run a scenario."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from minisd import StableDiffusion
from minisd.picture import from_pil
from suppress import Fast, Result, run_batch
from suppress.metrics import psnr

from .ladder import Rung
from .scenario import Scenario


@dataclass(frozen=True)
class Measured:
    """A rung's figures; None where the machine cannot tell."""

    rung: str
    dtype: str
    seconds: list[float]  # whole jobs, encode to decode, each between two synchronisations
    first: float  # of the first run, which compiles and records
    ms_step: float  # of a step without ITO
    ms_forward: float  # of a sample's pass in it
    ms_iteration: float | None  # of ITO
    peak_gib: float | None
    launches: int | None  # of kernels and graphs
    worst_delta: float  # of the latents to the first rung's
    relative_error: float  # ‖Δ‖ / ‖latents of the first rung‖, of what the job adds to the noise
    psnr: float  # of the suppressed pictures to the first rung's, dB, the worst


def quantile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between the two values around it."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Runner:
    """A rung on its model, ready to run."""

    def __init__(self, sd: StableDiffusion, scenario: Scenario, rung: Rung):
        self.sd, self.scenario, self.rung = sd, scenario, rung
        self.engine: Fast | str = Fast(sd, rung.plan) if rung.plan else "reference"

    def run(self, iterations: int | None = None) -> list[Result]:
        settings = self.scenario.settings
        if iterations is not None:
            settings = replace(settings, iterations=iterations)
        return run_batch(
            self.sd,
            self.scenario.jobs,
            settings=settings,
            engine=self.engine,
            batch_size=self.scenario.batch,
        )

    def forwards(self) -> int:
        """Samples through the UNet in a job without ITO."""
        s = self.scenario.settings
        shared = self.rung.plan is not None and self.rung.plan.one_branch
        return self.scenario.batch * (2 * s.first + 4 * (s.steps - s.first) if shared else 4 * s.steps)


def measure(runner: Runner, repeats: int, reference: list[Result] | None) -> tuple[Measured, list[Result]]:
    """The rung's figures, and its results for later rungs to be compared with. reference: those of the first rung."""
    device, settings = runner.sd.device, runner.scenario.settings
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    results: list[Result] = []
    first = seconds_of(lambda: results.extend(runner.run()), device)
    seconds = [seconds_of(runner.run, device) for _ in range(repeats)]
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    sampling = [results_time(runner.run(iterations=0)) for _ in range(repeats)]
    with_ito = results_time(runner.run())
    count = settings.iterations * (settings.last - settings.first)
    plain = quantile(sampling, 0.5)
    worst, relative, decibel = compare(reference or results, results)
    return (
        Measured(
            rung=runner.rung.name,
            dtype=str(runner.rung.dtype).removeprefix("torch."),
            seconds=seconds,
            first=first,
            ms_step=1e3 * plain / settings.steps,
            ms_forward=1e3 * plain / runner.forwards(),
            ms_iteration=1e3 * (with_ito - plain) / count if count > 0 else None,
            peak_gib=peak,
            launches=launches(runner) if device.type == "cuda" else None,
            worst_delta=worst,
            relative_error=relative,
            psnr=decibel,
        ),
        results,
    )


def results_time(results: list[Result]) -> float:
    return results[0].timings["sample"]


def compare(a: list[Result], b: list[Result]) -> tuple[float, float, float]:
    """(worst |Δ| of the suppressed latents, ‖Δ‖ relative to theirs, worst PSNR of the pictures in dB)."""
    x, y = (torch.cat([r.latents.cpu().float() for r in side]) for side in (a, b))
    pictures = [torch.cat([from_pil(r.image) for r in side]) for side in (a, b)]  # type: ignore[arg-type]
    return float((x - y).abs().max()), float((x - y).norm() / x.norm()), float(psnr(*pictures).min())


def launches(runner: Runner) -> int:
    """Kernel and graph launches of a job, by the profiler."""
    events = _profiled(runner).events()
    names = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaGraphLaunch")
    return sum(event.name in names for event in events)


def trace(runner: Runner, path: Path) -> None:
    """A Chrome trace of one job, with the engine's ranges by name."""
    _profiled(runner).export_chrome_trace(str(path))


def _profiled(runner: Runner) -> torch.profiler.profile:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if runner.sd.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        runner.run()
        synchronise(runner.sd.device)
    return profile
