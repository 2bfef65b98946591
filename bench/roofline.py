"""Floating-point operations of a job, and what share of the machine's measured matrix peak they took."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from minisd import StableDiffusion, Tap
from suppress import Plan
from suppress.edits.maps import LayerMean, map_scale
from suppress.engine.packed import PackedLinear, can_pack
from suppress.engine.short_passes import before_text, read_until

from .ladder import BARE
from .scenario import Scenario
from .timing import quantile, seconds_of


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product, the median of seven after a warm-up; on a CPU also with packed weights."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    products: list[Callable[[], object]] = [lambda: a @ b]
    if can_pack(b):
        packed = PackedLinear(nn.Linear(n, n, bias=False).requires_grad_(False))
        products.append(lambda: packed(a))
    times = [quantile([seconds_of(f, device) for _ in range(8)][1:], 0.5) for f in products]
    return 2 * n**3 / min(times)


def job_flops(sd: StableDiffusion, scenario: Scenario, plan: Plan | None) -> float:
    """FLOPs of a job's UNet passes, counted by PyTorch on one pass of each kind. plan None: the reference.

    A head that several passes share is counted with each of them.
    """
    s, plan = scenario.settings, plan or BARE
    whole, forward, backward = pass_flops(sd, scenario, plan.early_exit)
    forwards = 2 * s.first + 4 * (s.steps - s.first) if plan.one_branch else 4 * s.steps
    ito = max(s.last - s.first, 0) if s.iterations else 0
    extra = 0 if plan.shared_maps else ito * forward
    return scenario.batch * (forwards * whole + extra + ito * s.iterations * (forward + backward))


def pass_flops(sd: StableDiffusion, scenario: Scenario, early_exit: bool) -> tuple[float, float, float]:
    """(a sample's pass, ITO's forward pass, its backward pass)"""
    side = sd.config.unet.sample_size
    z = torch.randn(1, 4, side, side, device=sd.device)
    ctx = torch.randn(1, 77, sd.config.unet.context_dim, device=sd.device)
    scale = map_scale(sd, z, scenario.settings.resolution)
    tap = LayerMean(scale, None)
    last = [site for site in sd.unet.sites if tap.wants(site)][-1]

    def until_last(ctx: Tensor, tap: Tap) -> None:
        read_until(sd.unet, before_text(sd.unet, z, 501), ctx, tap, last.name)

    with torch.no_grad():
        whole = _counted(lambda: sd.unet(z, 501, ctx))
        forward = _counted(lambda: until_last(ctx, LayerMean(scale, None)))

    leaf = ctx.requires_grad_()

    def both() -> None:
        maps = LayerMean(scale, None)
        until_last(leaf, maps)
        (maps.sums["cross"].square().sum() + maps.sums["self"].square().sum()).backward()

    backward = _counted(both) - forward
    return whole, forward if early_exit else whole, backward


def _counted(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
