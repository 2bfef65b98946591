"""Floating-point operations of a job, and the measured matrix peak of the machine to compare them with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minisd import StableDiffusion
from suppress import Plan
from suppress.edits.maps import map_spec
from suppress.engine.packed import PackedLinear, can_pack
from suppress.engine.passes import last_site, read_maps

from .ladder import BARE
from .scenario import Scenario
from .timing import quantile, seconds_of


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product: the median of seven runs after a warm-up.

    On a CPU the product is measured with packed weights too, and the faster one counts.
    """
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    products: list[Callable[[], object]] = [lambda: a @ b]
    if can_pack(b):
        packed = PackedLinear(nn.Linear(n, n, bias=False).requires_grad_(False))
        products.append(lambda: packed(a))
    times = [quantile([seconds_of(f, device) for _ in range(8)][1:], 0.5) for f in products]
    return 2 * n**3 / min(times)


def job_flops(sd: StableDiffusion, scenario: Scenario, plan: Plan | None) -> float:
    """FLOPs of a job's UNet passes. PyTorch counts them on one pass of each kind. plan=None: the reference loop.

    The text-independent part, which several passes may share, is counted in each of them.
    """
    s, plan = scenario.settings, plan or BARE
    full_pass, forward, backward = pass_flops(sd, scenario, plan.early_exit)
    forwards = 2 * s.start_step + 4 * (s.steps - s.start_step) if plan.one_branch else 4 * s.steps
    ito, iterations = scenario.ito
    extra = 0 if plan.shared_maps else ito * forward
    return scenario.batch * (forwards * full_pass + extra + ito * iterations * (forward + backward))


def pass_flops(sd: StableDiffusion, scenario: Scenario, early_exit: bool) -> tuple[float, float, float]:
    """FLOPs of one sample: (a full pass, ITO's forward pass, ITO's backward pass)"""
    side = sd.config.unet.sample_size
    z = torch.randn(1, 4, side, side, device=sd.device)
    ctx = torch.randn(1, 77, sd.config.unet.context_dim, device=sd.device)
    t = torch.tensor(501, device=sd.device)
    maps = map_spec(sd, z, getattr(scenario.settings, "resolution", None))
    last = last_site(sd.unet, maps)

    with torch.no_grad():
        full_pass = _counted(lambda: sd.unet(z, 501, ctx))
        forward = _counted(lambda: read_maps(sd.unet, z, t, ctx, maps, last, fused=True))

    leaf = ctx.requires_grad_()

    def forward_and_backward() -> None:
        cross, self_ = read_maps(sd.unet, z, t, leaf, maps, last, fused=True)
        (cross.square().sum() + self_.square().sum()).backward()

    backward = _counted(forward_and_backward) - forward
    return full_pass, forward if early_exit else full_pass, backward


def _counted(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
