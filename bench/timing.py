"""Seconds, bytes and launches of one way to run a scenario."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from minisd import StableDiffusion
from minisd.picture import from_pil
from suppress import Fast, Reference, Result, run_batch
from suppress.metrics import psnr

from .ladder import Rung
from .scenario import Scenario


@dataclass(frozen=True)
class Measured:
    """A rung's figures. None: this machine cannot measure it."""

    rung: str
    dtype: str
    seconds: list[float]  # of each job, from encode to decode, measured between two synchronisations
    first: float  # seconds of the first run, which compiles and records
    ms_step: float  # a step without ITO
    ms_forward: float  # the pass of one sample in such a step
    ms_iteration: float | None  # an iteration of ITO
    peak_gib: float | None
    launches: int | None  # of kernels and graphs, in one job
    worst_delta: float  # largest |Δ| of the edited latents to the first rung's
    relative_error: float  # ‖Δ‖ / ‖latents of the first rung‖
    psnr: float  # of the edited pictures to the first rung's, in dB; the worst one


def quantile(values: Sequence[float], level: float) -> float:
    """The quantile at a level from 0 to 1, with linear interpolation between the two nearest values."""
    ordered = sorted(values)
    position = level * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call. A GPU measures them with its own clock, between two events of the stream."""
    synchronise(device)
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        synchronise(device)
        return begin.elapsed_time(end) / 1e3
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Runner:
    """Runs a rung, on a model of its own, and keeps what was measured."""

    def __init__(self, sd: StableDiffusion, scenario: Scenario, rung: Rung):
        self.sd, self.scenario, self.rung = sd, scenario, rung
        self.engine = Fast(sd, rung.plan) if rung.plan else Reference(sd, maps_everywhere=True)
        self.seconds: list[float] = []  # of a job
        self.sampling: list[float] = []  # of the sampling in that job
        self.plain: list[float] = []  # of the sampling in a job without ITO

    @property
    def has_ito(self) -> bool:
        return self.scenario.ito[1] > 0

    def run(self, iterations: int | None = None) -> list[Result]:
        settings = self.scenario.settings
        if iterations is not None:
            settings = replace(settings, iterations=iterations)  # type: ignore[call-arg]
        jobs, batch = self.scenario.jobs, self.scenario.batch
        return run_batch(self.sd, jobs, settings=settings, engine=self.engine, batch_size=batch)

    def start(self) -> list[Result]:
        """The first run, which compiles and records. It is timed separately, and the peak memory is measured in it."""
        device, results = self.sd.device, list[Result]()
        other_models = 0  # bytes of the other rungs' models
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            other_models = torch.cuda.memory_allocated(device) - weight_bytes(self.sd)
        self.first = seconds_of(lambda: results.extend(self.run()), device)
        if self.has_ito:
            self.run(iterations=0)
        self.peak = (torch.cuda.max_memory_allocated(device) - other_models) / 2**30 if device.type == "cuda" else None
        return results

    def again(self) -> None:
        """One more timed run of the job, and one without ITO if the job has ITO."""
        results: list[Result] = []
        self.seconds.append(seconds_of(lambda: results.extend(self.run()), self.sd.device))
        self.sampling.append(results[0].timings["sample"])
        self.plain.append(self.run(iterations=0)[0].timings["sample"] if self.has_ito else self.sampling[-1])

    def forwards(self) -> int:
        """How many samples go through the UNet in a job without ITO."""
        s = self.scenario.settings
        shared = self.rung.plan is not None and self.rung.plan.one_branch
        return self.scenario.batch * (2 * s.start_step + 4 * (s.steps - s.start_step) if shared else 4 * s.steps)

    def figures(self, first_rung: list[Result], results: list[Result]) -> Measured:
        """The rung's figures. first_rung, results: the results of the first rung and of this one."""
        s, (steps, iterations) = self.scenario.settings, self.scenario.ito
        count = steps * iterations
        sampling, plain = quantile(self.sampling, 0.5), quantile(self.plain, 0.5)
        worst, relative, decibel = compare(first_rung, results)
        return Measured(
            rung=self.rung.name,
            dtype=str(self.rung.dtype).removeprefix("torch."),
            seconds=self.seconds,
            first=self.first,
            ms_step=1e3 * plain / s.steps,
            ms_forward=1e3 * plain / self.forwards(),
            ms_iteration=1e3 * (sampling - plain) / count if count else None,
            peak_gib=self.peak,
            launches=launches(self) if self.sd.device.type == "cuda" else None,
            worst_delta=worst,
            relative_error=relative,
            psnr=decibel,
        )


def weight_bytes(sd: StableDiffusion) -> int:
    modules = (sd.unet, sd.vae, sd.text_encoder)
    return sum(x.numel() * x.element_size() for module in modules for x in (*module.parameters(), *module.buffers()))


def compare(a: list[Result], b: list[Result]) -> tuple[float, float, float]:
    """(worst |Δ| of the edited latents, ‖Δ‖ / ‖latents of a‖, worst PSNR of the edited pictures in dB)"""
    x, y = (torch.cat([r.latents.cpu().float() for r in side]) for side in (a, b))
    pictures = [torch.cat([from_pil(r.image) for r in side]) for side in (a, b)]  # type: ignore[arg-type]
    return float((x - y).abs().max()), float((x - y).norm() / x.norm()), float(psnr(*pictures).min())


def launches(runner: Runner) -> int:
    """How many kernels and graphs a job launches, counted by the profiler."""
    names = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaGraphLaunch")
    return sum(event.name in names for event in profiled(runner).events())


def profiled(runner: Runner) -> torch.profiler.profile:
    """One job under PyTorch's profiler, which slows it down: its times are to be compared with each other only."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if runner.sd.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        runner.run()
        synchronise(runner.sd.device)
    return profile
